import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['*.test.ts'],
    // A demo and a browser each: one after the other.
    fileParallelism: false,
    // Where the checks run, the processor can be taken away for seconds: what fails and then passes is named all the same.
    retry: process.env.CI ? 2 : 0,
    testTimeout: 90_000,
    hookTimeout: 120_000,
  },
})
