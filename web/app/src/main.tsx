import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { App } from './app/App'
import { Sessions } from './session/session'
import './design/tokens.css'
import './design/base.css'
import './design/primitives.css'

const root = document.getElementById('root')
if (!root) throw new Error('There is no place for the page')

const sessions = new Sessions()
void sessions.start()
createRoot(root).render(
  <StrictMode>
    <App sessions={sessions} />
  </StrictMode>,
)
