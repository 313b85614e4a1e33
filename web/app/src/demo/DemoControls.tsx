import { useContext, useEffect, useId, useRef, useState } from 'react'
import { useWorkspace } from '../api/workspace'
import { say } from '../design/toasts'
import { control, type Demo, type Network } from './control'
import { LineContext } from './line'
import './demo.css'

const EVERY_MS = 2_000
/** So long a new line has to come up before it is cut. */
const SETTLE_MS = 4_000

/** What only the demo lets one do: hurry the colleagues, cut the line, kill a server. */
export default function DemoControls({ control: address }: { control: string }) {
  const { tide } = useWorkspace()
  const lines = useContext(LineContext)
  const [demo, setDemo] = useState<Demo | null>(null)
  const [network, setNetwork] = useState<Network | null>(() => control.network)
  const [busy, setBusy] = useState(false)
  const title = useId()
  const live = useRef(tide)
  live.current = tide

  useEffect(() => {
    const look = () => control.look(address).then(setDemo, () => undefined)
    void look()
    const timer = setInterval(look, EVERY_MS)
    return () => clearInterval(timer)
  }, [address])

  const switchNetwork = async (up: boolean) => {
    setBusy(true)
    try {
      const own = control.network ?? (await control.open(address))
      if (!lines.own) {
        lines.take(own.addresses)
        await untilLive(() => live.current.status.current.state === 'live' && live.current !== tide)
      }
      setNetwork(await control.set(address, own, up))
      if (up) live.current.wake()
    } catch {
      say('The demo does not answer.', 'bad')
    }
    setBusy(false)
  }

  const kill = async (index: number) => {
    await control.kill(address, index).catch(() => say('The demo does not answer.', 'bad'))
  }

  const pace = demo?.pace ?? 0
  return (
    <section className="demo" aria-labelledby={title}>
      <h3 id={title} className="menu-title">
        Demo
      </h3>
      <label className="demo-pace">
        <span>Colleagues</span>
        <input
          type="range"
          className="range"
          min={0}
          max={100}
          step={1}
          aria-label="Pace of the colleagues"
          aria-valuetext={`${pace} changes a second`}
          value={toSlider(pace)}
          onChange={({ target }) => {
            const next = fromSlider(Number(target.value), demo?.max_pace ?? 500)
            setDemo(demo && { ...demo, pace: next })
            void control.pace(address, next).catch(() => undefined)
          }}
        />
        <span className="number">{pace}/s</span>
      </label>
      <label className="switch demo-network">
        <span>Network of this page</span>
        <input type="checkbox" role="switch" checked={network?.up ?? true} disabled={busy} onChange={({ target }) => void switchNetwork(target.checked)} />
      </label>
      {(demo?.servers ?? []).map(({ address: server, alive, restarts }, index) => (
        <div key={server} className="demo-server" data-server={server} data-alive={alive}>
          <span className="demo-dot" aria-hidden="true" />
          <span className="cut">
            {server}
            {restarts > 0 && <span className="faint"> · restarted {restarts}×</span>}
          </span>
          <button type="button" className="button" data-kind="bad" disabled={!alive} aria-label={`Kill server ${server}`} onClick={() => void kill(index)}>
            Kill
          </button>
        </div>
      ))}
    </section>
  )
}

/** Slow paces deserve more of the slider than fast ones. */
const toSlider = (pace: number) => (pace <= 0 ? 0 : Math.round((Math.log10(pace * 10) / Math.log10(5_000)) * 100))

function fromSlider(at: number, most: number): number {
  if (at === 0) return 0
  const pace = 5_000 ** (at / 100) / 10
  return Math.min(most, pace < 10 ? Math.round(pace * 10) / 10 : Math.round(pace))
}

async function untilLive(isLive: () => boolean): Promise<void> {
  const end = Date.now() + SETTLE_MS
  while (!isLive() && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 50))
}
