import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.{ts,tsx}'],
    globalSetup: 'test/cluster.ts',
    // Two processors: servers and databases are beside them.
    maxWorkers: 2,
    // Where the checks run, the processor can be taken away for seconds: what fails and then passes is named all the same.
    retry: process.env.CI ? 2 : 0,
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
})
