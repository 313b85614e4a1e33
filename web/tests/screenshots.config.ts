import { defineConfig } from 'vitest/config'

export default defineConfig({ test: { include: ['screenshots.ts'], hookTimeout: 120_000 } })
