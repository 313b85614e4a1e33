// First, so that what views say of themselves comes after it.
import './design/tokens.css'
import './design/base.css'
import './design/primitives.css'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { App } from './app/App'
import { Sessions } from './session/session'

const root = document.getElementById('root')
if (!root) throw new Error('There is no place for the page')

const sessions = new Sessions()
void sessions.start()
createRoot(root).render(
  <StrictMode>
    <App sessions={sessions} />
  </StrictMode>,
)
