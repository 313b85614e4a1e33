import { Link } from 'wouter'
import { Icon } from '../design/icons'
import { Count } from './Count'
import type { Measure } from './kpis'
import { Sparkline } from './Sparkline'
import { amount } from './units'

/** A measure as it is now; what it was before is behind `to`. */
export function Tile({ measure: { definition, value, recent, change }, to }: { measure: Measure; to: string | null }) {
  const { name, title, unit } = definition
  return (
    <article className="tile panel" data-kpi={name}>
      <h2>{to ? <Link href={to}>{title}</Link> : title}</h2>
      <p className="tile-figure">
        <Count value={value} unit={unit} />
        {change !== 0 && (
          <span className="tile-change" title="Against a while ago">
            <Icon name={change > 0 ? 'up' : 'down'} size={13} />
            {amount(Math.abs(change), unit)}
          </span>
        )}
      </p>
      <Sparkline values={recent} />
    </article>
  )
}
