import { Bones } from '../design/Empty'

const SHAPE = [5, 3, 2, 4]

/** Where columns will be. */
export function LanesBones() {
  return (
    <div className="lanes">
      {SHAPE.map((count, index) => (
        <div key={index} className="lane">
          <div className="lane-head">
            <div className="bone lane-bone" />
          </div>
          <Bones count={count} height={84} />
        </div>
      ))}
    </div>
  )
}
