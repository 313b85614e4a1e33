import { Component, type ReactNode } from 'react'
import { Empty } from '../design/Empty'

/** What is left of the page where something in it went wrong. */
export class Faults extends Component<{ children: ReactNode }, { failed: boolean }> {
  override state = { failed: false }

  static getDerivedStateFromError() {
    return { failed: true }
  }

  override render() {
    if (!this.state.failed) return this.props.children
    return (
      <Empty icon="off" title="Something went wrong here">
        <button type="button" className="button" onClick={() => location.reload()}>
          Reload
        </button>
      </Empty>
    )
  }
}
