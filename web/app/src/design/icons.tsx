/** Line icons on a grid of 20, drawn with one pen. */
const PATHS = {
  board: 'M3.5 4.5h3.6v11H3.5zM8.2 4.5h3.6v7.5H8.2zM12.9 4.5h3.6v9.2h-3.6z',
  pulse: 'M2.5 10.5h3.2l2.1-5.2 3.8 9.6 2.2-4.4h3.7',
  chart: 'M3.5 16.5V4M3.5 16.5h13M6.8 13l3-3.6 2.6 2 4-5.4',
  bell: 'M5.2 8.4a4.8 4.8 0 0 1 9.6 0c0 3.7 1.5 4.9 1.5 4.9H3.7s1.5-1.2 1.5-4.9M8.4 15.8a1.8 1.8 0 0 0 3.2 0',
  person: 'M10 9.6a3 3 0 1 0 0-6 3 3 0 0 0 0 6M4.2 16.6c.5-3 2.9-4.4 5.8-4.4s5.3 1.4 5.8 4.4',
  plus: 'M10 4.2v11.6M4.2 10h11.6',
  minus: 'M4.2 10h11.6',
  whole: 'M3.5 6V3.5H6M14 3.5h2.5V6M16.5 14v2.5H14M6 16.5H3.5V14M6.8 10h6.4',
  close: 'M5.2 5.2l9.6 9.6M14.8 5.2l-9.6 9.6',
  search: 'M9 14.4A5.4 5.4 0 1 0 9 3.6a5.4 5.4 0 0 0 0 10.8M13 13l3.6 3.6',
  gear: 'M3.5 6h6.2M13.8 6h2.7M3.5 14h2.7M10.3 14h6.2M11.7 8a2 2 0 1 0 0-4 2 2 0 0 0 0 4M8.2 16a2 2 0 1 0 0-4 2 2 0 0 0 0 4',
  sun: 'M10 13.2a3.2 3.2 0 1 0 0-6.4 3.2 3.2 0 0 0 0 6.4M10 2.8v1.4M10 15.8v1.4M2.8 10h1.4M15.8 10h1.4M4.9 4.9l1 1M14.1 14.1l1 1M15.1 4.9l-1 1M5.9 14.1l-1 1',
  moon: 'M16.2 11.7A6.6 6.6 0 0 1 8.3 3.8a6.6 6.6 0 1 0 7.9 7.9z',
  screen: 'M3.2 4.5h13.6v8.8H3.2zM7.5 16.2h5',
  back: 'M11.8 4.8L6.6 10l5.2 5.2',
  next: 'M8.2 4.8l5.2 5.2-5.2 5.2',
  check: 'M4.5 10.4l3.7 3.7 7.3-8.2',
  clock: 'M10 16.6a6.6 6.6 0 1 0 0-13.2 6.6 6.6 0 0 0 0 13.2M10 6.4V10l2.4 1.6',
  comment: 'M4 4.5h12v8.6H9.4L6 16v-2.9H4z',
  eye: 'M2.6 10S5.2 5.2 10 5.2 17.4 10 17.4 10 14.8 14.8 10 14.8 2.6 10 2.6 10M10 12.2a2.2 2.2 0 1 0 0-4.4 2.2 2.2 0 0 0 0 4.4',
  filter: 'M3.5 5.5h13M6 10h8M8.4 14.5h3.2',
  tag: 'M3.8 3.8h6.1l6.5 6.5-6.1 6.1-6.5-6.5zM7 7h.01',
  trash: 'M4.5 6h11M8 6V4.2h4V6M5.8 6l.7 10h7l.7-10',
  leave: 'M8 4H4.2v12H8M11.6 6.6L15 10l-3.4 3.4M15 10H8',
  up: 'M10 15.8V4.6M5.4 9L10 4.4 14.6 9',
  down: 'M10 4.2v11.2M5.4 11l4.6 4.6 4.6-4.6',
  wave: 'M2.5 11.5c1.9-2.6 3.7-2.6 5 0s3.2 2.6 5 0 3.1-2.6 5 0',
  off: 'M3.5 3.5l13 13M7.2 7.5c-2 .6-3.4 1.7-4.4 2.9M10 13.6h.01M13 7.6c1.7.6 3 1.6 4 2.8',
  lock: 'M5 9h10v7.2H5zM7 9V6.6a3 3 0 0 1 6 0V9',
  more: 'M4.4 10a.6.6 0 1 0 1.2 0 .6.6 0 1 0-1.2 0M9.4 10a.6.6 0 1 0 1.2 0 .6.6 0 1 0-1.2 0M14.4 10a.6.6 0 1 0 1.2 0 .6.6 0 1 0-1.2 0',
  bolt: 'M11 2.8L4.8 11.4h4.4L9 17.2l6.2-8.6h-4.4z',
} as const

export type IconName = keyof typeof PATHS

export function Icon({ name, size = 18 }: { name: IconName; size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 20 20" aria-hidden="true" fill="none" stroke="currentColor" strokeWidth="1.6" strokeLinecap="round" strokeLinejoin="round">
      <path d={PATHS[name]} />
    </svg>
  )
}

export function Mark({ size = 28 }: { size?: number }) {
  return (
    <svg className="mark" width={size} height={size} viewBox="0 0 32 32" aria-hidden="true" fill="none" strokeLinecap="round">
      <rect width="32" height="32" rx="9" className="mark-ground" />
      <path d="M10 7v18M16 7v18M22 7v18" className="mark-gate" />
      <path d="M4.5 19c1.9-2.3 3.8-2.3 5.75 0s3.85 2.3 5.75 0 3.85-2.3 5.75 0 3.85 2.3 5.75 0" className="mark-wave" />
    </svg>
  )
}
