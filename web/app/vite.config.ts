import react from '@vitejs/plugin-react'
import { defineConfig } from 'vite'

/** The server that the development page talks to. */
const SERVER = process.env['TIDEGATE'] ?? 'http://127.0.0.1:8095'

export default defineConfig({
  plugins: [react()],
  build: {
    target: 'es2023',
    // The page's policy allows no inline anything.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: {
    proxy: {
      '/v1': { target: SERVER, ws: true, changeOrigin: true },
      '/page.json': { target: SERVER, changeOrigin: true },
    },
  },
})
