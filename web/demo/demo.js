// The demo's page: one socket, six subscriptions, and what becomes of them on the screen.
//
//   Line   the conversation with the server: connects, resumes, backs off
//   Rows   one subscription's rows: replaced by a snapshot in one step, then changed a transaction at a time
//   views  tiles, board, feed, wire: drawn at most once a frame, from the rows as they then are
//
// The protocol is described in docs/protocol.md. Where the server asks who it is, the page logs in first: login.js.

import { openLogin } from './login.js'

const PROTOCOL = 'tidegate.v1'
const PING_MS = 5_000
/** Without any word for this long the line is dead, whatever the browser believes. */
const SILENCE_MS = 15_000
const BACKOFF = { leastMs: 500, mostMs: 30_000, resetAfterMs: 30_000 }
/** How long the page tells that it went on on another server. */
const HOP_MS = 60_000
const FEED_ROWS = 50
const WIRE_FRAMES = 40
/** What a frame shows of itself. */
const WIRE_CHARACTERS = 400

/** The codes after which returning would not help: the reason says what is wrong. */
const FINAL_CODES = new Map([
  [1008, 'The server refuses this page'],
  [1009, 'The server refused a frame as too large'],
  [4400, 'The server did not understand this page'],
  [4401, 'The server does not let this page in'],
  [4403, 'The server does not allow this origin'],
])

/** The codes after which another server is the better place: this one went, or does not answer. */
const GONE_CODES = new Set([1001, 1006])

/** Why the server refuses a token that the next one may mend. */
const OUTLIVED = new Set(['expired', 'token_missing', 'unknown_key'])

/** Errors that are about the moment and not about the request. */
const PASSING_ERRORS = new Set(['unavailable', 'rate_limited', 'internal'])

const byId = (id) => document.getElementById(id)
const stillness = matchMedia('(prefers-reduced-motion: reduce)')

// --- Rows ------------------------------------------------------------------------------------------------------

/** The rows of one subscription, as the server last told them. */
class Rows {
  constructor(request, onChange) {
    this.request = request
    this.onChange = onChange
    this.rows = new Map()
    this.key = ['id']
    this.position = null // { cursor, shape }, once there is something to resume from
    this.shape = null
    this.arriving = null // the rows of a snapshot that is not complete yet
    this.held = [] // the changes of a transaction whose last frame is still to come
  }

  /** What to send to begin, or to go on where we were. */
  opening(id) {
    const opening = { type: 'subscribe', id, ...this.request }
    if (!this.position) return opening
    // Bounds of a snapshot stay, in case that the cursor is too old; a plain wish for one does not.
    if (opening.snapshot === true) delete opening.snapshot
    return { ...opening, ...this.position }
  }

  take(frame) {
    switch (frame.type) {
      case 'subscribed':
        this.shape = frame.shape
        this.key = frame.key
        this.held = []
        if (frame.cursor) this.reach(frame.cursor)
        else this.arriving = []
        break
      case 'snapshot':
        this.arriving ??= []
        this.arriving.push(...frame.rows)
        if (frame.last) this.replace(frame.cursor)
        break
      case 'changes':
        this.held.push(...frame.changes)
        if (frame.tx && !frame.tx.last) break
        this.apply(this.held)
        this.held = []
        this.reach(frame.cursor)
        break
      case 'truncate':
        this.held = []
        this.rows.clear()
        this.reach(frame.cursor)
        this.onChange([])
        break
      case 'resync':
        // What is on the screen stays there until the new snapshot is complete.
        this.arriving = []
        this.held = []
        this.position = null
        break
    }
  }

  replace(cursor) {
    this.rows = new Map(this.arriving.map((row) => [this.keyOf(row), row]))
    this.arriving = null
    this.reach(cursor)
    this.onChange([])
  }

  apply(changes) {
    const seen = []
    for (const { op, row, key, changed, unchanged } of changes) {
      const id = this.keyOf(key ?? row)
      if (op === 'delete') {
        this.rows.delete(id)
      } else {
        const kept = this.rows.get(id)
        // Large values that did not change are named and not sent.
        for (const name of unchanged ?? []) if (kept && name in kept) row[name] = kept[name]
        this.rows.set(id, row)
      }
      seen.push({ op, id, row, changed })
    }
    this.onChange(seen)
  }

  reach(cursor) {
    if (cursor) this.position = { cursor, shape: this.shape }
  }

  /** Nothing is pending here, so a cursor of the whole socket holds for this subscription too. */
  get settled() {
    return this.position !== null && this.arriving === null && this.held.length === 0
  }

  keyOf(row) {
    return this.key.length === 1 ? String(row[this.key[0]]) : JSON.stringify(this.key.map((name) => row[name]))
  }
}

// --- Line ------------------------------------------------------------------------------------------------------

/** One socket that is there for as long as the page is, to one of some servers that share a journal. */
class Line extends EventTarget {
  constructor(addresses) {
    super()
    this.addresses = addresses
  }

  at = 0
  login = null // who brings a token, where one is needed
  home = null // the address where it was live last
  authenticated = 0 // when a token was brought last
  subscriptions = new Map()
  socket = null
  attempts = 0
  timers = new Map()

  get address() {
    return this.addresses[this.at]
  }

  say(state, detail = {}) {
    this.dispatchEvent(new CustomEvent('state', { detail: { state, ...detail } }))
  }

  after(name, ms, action) {
    this.forget(name)
    this.timers.set(name, setTimeout(action, ms))
  }

  forget(...names) {
    for (const name of names) {
      clearTimeout(this.timers.get(name))
      this.timers.delete(name)
    }
  }

  connect() {
    this.forget('return')
    this.say('connecting', { again: this.attempts > 0 || [...this.subscriptions.values()].some((s) => s.position) })
    const scheme = location.protocol === 'https:' ? 'wss:' : 'ws:'
    const socket = new WebSocket(`${scheme}//${this.address}/v1/socket`, PROTOCOL)
    this.socket = socket
    this.heard()
    // A socket that has been replaced has nothing to say any more.
    socket.onmessage = ({ data }) => socket === this.socket && this.receive(data)
    socket.onclose = ({ code, reason }) => socket === this.socket && this.lost(code, reason)
  }

  receive(data) {
    this.heard()
    const frame = JSON.parse(data)
    this.dispatchEvent(new CustomEvent('frame', { detail: { frame, data } }))
    switch (frame.type) {
      case 'ready':
        this.after('settle', BACKOFF.resetAfterMs, () => (this.attempts = 0))
        if (this.home !== null && this.home !== this.address) this.say('hopped', { from: this.home, to: this.address })
        this.home = this.address
        this.authenticate()
        for (const [id, rows] of this.subscriptions) this.send(rows.opening(id))
        this.ping()
        this.say('live')
        break
      case 'pong':
        this.say('pong', { ms: performance.now() - this.pinged })
        break
      case 'progress':
        for (const rows of this.subscriptions.values()) if (rows.settled) rows.reach(frame.cursor)
        break
      case 'error':
        this.refused(frame)
        break
      case 'token_expiring':
        this.expire(Date.parse(frame.expires_at))
        break
      default:
        // A frame for a subscription that has just been given up is late, and of no interest.
        this.subscriptions.get(frame.id)?.take(frame)
    }
  }

  /** Says who it is. The server judges what follows by that, without being waited for. */
  authenticate() {
    if (!this.login?.token) return
    this.authenticated = Date.now()
    this.send({ type: 'auth', token: this.login.token })
  }

  /** Renews. Of a token that is short from the start the server tells at once: then half of its time is soon enough. */
  expire(at) {
    const [left, held] = [at - Date.now(), Date.now() - this.authenticated]
    this.after('renew', Math.max(0, (left - held) / 2), () => this.renew())
  }

  /** Brings the next token in the open socket: nothing starts over as long as it names the same person. */
  renew() {
    const socket = this.socket
    this.login?.renew().then(
      () => {
        if (socket === this.socket) this.authenticate()
        this.say('renewed')
      },
      // Until its end the old one holds, and then it is asked again.
      () => {},
    )
  }

  /** Returns with the next token, or has somebody log in. */
  reenter(reason) {
    this.login.renew().then(
      () => this.connect(),
      () => this.say('ended', { text: 'Please log in again', reason }),
    )
  }

  /** An error ends the subscription that it names. What fails for the moment is asked for again. */
  refused(frame) {
    const rows = this.subscriptions.get(frame.id)
    if (rows && PASSING_ERRORS.has(frame.code)) {
      const wait = Math.max(frame.retry_after_ms ?? 0, this.jitter(1))
      this.after(`again ${frame.id}`, wait, () => this.subscriptions.get(frame.id) === rows && this.send(rows.opening(frame.id)))
    } else if (frame.code !== 'duplicate_id') {
      this.subscriptions.delete(frame.id)
    }
    this.say('refused', { frame })
  }

  ping() {
    this.pinged = performance.now()
    this.send({ type: 'ping' })
    this.after('ping', PING_MS, () => this.ping())
  }

  heard() {
    this.after('silence', SILENCE_MS, () => this.drop(1006, 'silence'))
  }

  /** Gives the socket up without waiting for the other side, which may be gone. */
  drop(code, reason) {
    const socket = this.socket
    this.socket = null
    socket?.close()
    this.lost(code, reason)
  }

  lost(code, reason) {
    this.socket = null
    this.forget('ping', 'silence', 'settle', 'renew')
    if (code === 4401 && this.login && OUTLIVED.has(reason)) {
      this.say('waiting', { ms: 0, code })
      this.reenter(reason)
      return
    }
    if (FINAL_CODES.has(code)) {
      this.say('ended', { text: FINAL_CODES.get(code), reason })
      return
    }
    if (GONE_CODES.has(code)) this.at = (this.at + 1) % this.addresses.length
    const wait = this.pause(code, reason)
    this.attempts += 1
    this.say('waiting', { ms: wait, code })
    this.after('return', wait, () => this.connect())
  }

  /** How long to stay away: not at all if the server told us to go, else full jitter under a doubling bound. */
  pause(code, reason) {
    if (code === 1001 && this.attempts === 0) return 0
    const told = Number(/retry_after_ms=(\d+)/.exec(reason)?.[1] ?? 0)
    return Math.max(told, this.jitter(this.attempts))
  }

  jitter(attempts) {
    const bound = Math.min(BACKOFF.mostMs, BACKOFF.leastMs * 2 ** (attempts + 1))
    return BACKOFF.leastMs + Math.random() * (bound - BACKOFF.leastMs)
  }

  /** Closes the line and returns after `ms`, as a train in a tunnel would. */
  cut(ms) {
    const socket = this.socket
    this.socket = null
    socket?.close()
    this.forget('ping', 'silence', 'settle', 'renew')
    this.say('waiting', { ms, code: 1000 })
    this.after('return', ms, () => this.connect())
  }

  /** Closes the line for good. */
  close() {
    const socket = this.socket
    this.socket = null
    socket?.close()
    this.forget('ping', 'silence', 'settle', 'renew', 'return')
  }

  returnNow() {
    if (this.timers.has('return')) this.connect()
  }

  subscribe(id, rows) {
    this.subscriptions.set(id, rows)
    this.send(rows.opening(id))
  }

  unsubscribe(id) {
    if (this.subscriptions.delete(id)) this.send({ type: 'unsubscribe', id })
  }

  /** Before the socket is there, nothing has to be said: `ready` says it all. */
  send(frame) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(frame))
  }
}

// --- What the views share --------------------------------------------------------------------------------------

const drawings = new Set()

/** Draws at the next frame, once, however often it is asked. A hidden page draws when it is shown. */
function soon(draw) {
  if (drawings.size === 0) requestAnimationFrame(drawAll)
  drawings.add(draw)
}

function drawAll() {
  const due = [...drawings]
  drawings.clear()
  for (const draw of due) draw()
}

function fromTemplate(id) {
  return byId(id).content.firstElementChild.cloneNode(true)
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text
}

/** Identity columns are 64 bits wide and come as texts: the shorter is the smaller. */
function compareIds(a, b) {
  return a.length - b.length || compareTexts(a, b)
}

/** By their bytes, as PostgreSQL compares them: places are hexadecimal. */
function compareTexts(a, b) {
  return a < b ? -1 : a > b ? 1 : 0
}

function person(id) {
  return id === null ? null : people.rows.get(String(id))
}

function paintAvatar(element, user) {
  element.hidden = !user
  if (!user) return
  setText(element, user.name.split(' ').map((word) => word[0]).join('').slice(0, 2))
  element.title = user.name
  element.setAttribute('aria-label', user.name)
  element.style.setProperty('--hue', user.hue)
}

/** Moves what is under `root` smoothly from where it was to where `draw` puts it. */
function gliding(root, selector, draw) {
  const before = new Map()
  if (!stillness.matches) {
    for (const element of root.querySelectorAll(selector)) before.set(element, element.getBoundingClientRect())
  }
  draw()
  for (const [element, from] of before) {
    if (!element.isConnected) continue
    const to = element.getBoundingClientRect()
    const [x, y] = [from.left - to.left, from.top - to.top]
    if (Math.abs(x) < 1 && Math.abs(y) < 1) continue
    const far = Math.abs(x) > 8
    if (far) element.classList.add('travelling')
    element
      .animate([{ transform: `translate(${x}px, ${y}px)` }, { transform: 'none' }], {
        duration: far ? 520 : 320,
        easing: 'cubic-bezier(.2, .8, .2, 1)',
      })
      .finished.catch(() => {})
      .finally(() => element.classList.remove('travelling'))
  }
}

/** Puts `wanted` into `parent` in that order, moving only what is elsewhere. */
function arrange(parent, wanted) {
  let here = parent.firstElementChild
  for (const element of wanted) {
    if (element === here) here = here.nextElementSibling
    else parent.insertBefore(element, here)
  }
}

function flash(element, name) {
  element.classList.remove(name)
  if (stillness.matches) return
  // Asking for the size has the browser see the class go before it comes back.
  void element.offsetWidth
  element.classList.add(name)
}

// --- Tiles -----------------------------------------------------------------------------------------------------

const TILES = [
  { kpi: 'open', name: 'Open cards' },
  { kpi: 'in_review', name: 'In review' },
  { kpi: 'closed_10m', name: 'Closed in 10 minutes' },
  { kpi: 'changes_1m', name: 'Changes a minute' },
].map((tile) => {
  const element = fromTemplate('tile-template')
  setText(element.querySelector('h2'), tile.name)
  byId('tiles').append(element)
  return { ...tile, element }
})

function drawTiles() {
  for (const { kpi, element } of TILES) {
    const row = view.kpis.rows.get(JSON.stringify([view.board, kpi]))
    setText(element.querySelector('.figure'), row ? row.value.toLocaleString() : '–')
    const recent = (row?.recent ?? []).map(Number)
    const then = recent.at(-11) ?? recent[0]
    const step = row && then !== undefined ? row.value - then : 0
    const trend = element.querySelector('.trend')
    setText(trend, step === 0 ? '' : `${step > 0 ? '▲' : '▼'} ${Math.abs(step).toLocaleString()}`)
    trend.title = step === 0 ? '' : 'Against ten seconds ago'
    drawSpark(element.querySelector('.spark'), recent)
  }
}

function drawSpark(svg, values) {
  const [line, area] = [svg.querySelector('.line'), svg.querySelector('.area')]
  if (values.length < 2) {
    line.removeAttribute('d')
    area.removeAttribute('d')
    return
  }
  const [low, high] = [Math.min(...values), Math.max(...values)]
  const span = high - low || 1
  const points = values.map((value, index) => {
    const x = (index / (values.length - 1)) * 120
    const y = high === low ? 18 : 33 - ((value - low) / span) * 30
    return `${x.toFixed(1)} ${y.toFixed(1)}`
  })
  line.setAttribute('d', `M${points.join('L')}`)
  area.setAttribute('d', `M0 36L${points.join('L')}L120 36Z`)
}

// --- Board -----------------------------------------------------------------------------------------------------

/** The columns on the screen, by the state that each shows. */
const columns = new Map()
const PRIORITIES = ['Low', 'Normal', 'Urgent']

const cards = new Map()
/** What happened since the last drawing, by card: `insert`, or the columns that changed. */
const fresh = new Map()

function noteCards(changes) {
  for (const { op, id, changed } of changes) {
    if (op === 'delete') fresh.delete(id)
    else fresh.set(id, op === 'insert' || fresh.get(id) === 'insert' ? 'insert' : (changed ?? ['title']))
  }
  soon(drawBoard)
}

function drawBoard() {
  // One without the other would be a board without cards, or cards without a place.
  if (!view.states.position || !view.entries.position) return
  const states = [...view.states.rows.values()].sort((a, b) => a.ordinal - b.ordinal || compareIds(a.id, b.id))
  const rows = [...view.entries.rows.values()].sort((a, b) => compareTexts(a.position, b.position) || compareIds(a.id, b.id))
  const board = byId('board')
  gliding(board, '.card', () => {
    forgetMissing(cards, view.entries.rows)
    arrange(board, states.map(paintColumn))
    for (const { id } of states) {
      const here = rows.filter((row) => row.state_id === id)
      arrange(columns.get(id).querySelector('.cards'), here.map(paintCard))
      setText(columns.get(id).querySelector('.count'), String(here.length))
    }
    // Last, so that cards have left what goes.
    forgetMissing(columns, view.states.rows)
  })
  for (const [id, what] of fresh) {
    const card = cards.get(id)
    if (!card) continue
    flash(card, what === 'insert' ? 'arrived' : 'touched')
    if (what.includes('assignee_id')) flash(card.querySelector('.avatar'), 'handed')
  }
  fresh.clear()
}

/** Takes away what stands for rows that are gone. */
function forgetMissing(painted, rows) {
  for (const [id, element] of painted) {
    if (rows.has(id)) continue
    painted.delete(id)
    element.remove()
  }
}

function paintColumn({ id, name, kind }) {
  let column = columns.get(id)
  if (!column) {
    column = fromTemplate('column-template')
    column.querySelector('h2').id = `column-${id}`
    column.setAttribute('aria-labelledby', `column-${id}`)
    columns.set(id, column)
  }
  column.dataset.kind = kind
  setText(column.querySelector('.column-name'), name)
  return column
}

function paintCard(row) {
  let card = cards.get(row.id)
  if (!card) {
    card = fromTemplate('card-template')
    cards.set(row.id, card)
  }
  setText(card.querySelector('.card-title'), row.title)
  setText(card.querySelector('.number'), `#${row.id}`)
  setText(card.querySelector('.version'), `v${row.version}`)
  const priority = card.querySelector('.priority')
  priority.dataset.level = row.priority
  setText(priority, PRIORITIES[row.priority] ?? '')
  const labels = card.querySelector('.labels')
  if (labels.dataset.all !== row.labels.join()) {
    labels.dataset.all = row.labels.join()
    labels.replaceChildren(...row.labels.map((name) => Object.assign(document.createElement('span'), { textContent: name })))
  }
  paintAvatar(card.querySelector('.avatar'), person(row.assignee_id))
  return card
}

// --- Feed ------------------------------------------------------------------------------------------------------

const deeds = new Map()

function drawFeed() {
  const rows = [...view.feed.rows.values()]
  rows.sort((a, b) => (a.at < b.at ? 1 : a.at > b.at ? -1 : compareIds(b.id, a.id)))
  // The subscription covers every later match; the list keeps its length.
  for (const row of rows.splice(FEED_ROWS)) view.feed.rows.delete(row.id)
  const list = byId('feed')
  gliding(list, '.deed', () => {
    for (const [id, deed] of deeds) {
      if (!view.feed.rows.has(id)) {
        deeds.delete(id)
        deed.remove()
      }
    }
    arrange(list, rows.map(paintDeed))
  })
  drawTimes()
}

function paintDeed(row) {
  const known = deeds.get(row.id)
  if (known && known.dataset.person === String(Boolean(person(row.actor_id)))) return known
  const deed = known ?? fromTemplate('deed-template')
  const actor = person(row.actor_id)
  deed.dataset.person = String(Boolean(actor))
  paintAvatar(deed.querySelector('.avatar'), actor)
  const text = deed.querySelector('.deed-text')
  text.replaceChildren(strong(actor?.name.split(' ')[0] ?? 'Somebody'), ...tell(row))
  deed.querySelector('time').dateTime = row.at
  if (!known && view.live) flash(deed, 'arrived')
  deeds.set(row.id, deed)
  return deed
}

function tell({ action, actor_id: actor, detail }) {
  const title = emphasis(detail.title ?? 'a card')
  switch (action) {
    case 'created':
      return [' added ', title]
    case 'moved':
      return detail.top ? [' moved ', title, ' to the top'] : [' moved ', title, ` to ${detail.to}`]
    case 'assigned':
      if (detail.assignee_id === actor) return [' took ', title]
      return [' handed ', title, ` to ${person(detail.assignee_id)?.name.split(' ')[0] ?? 'somebody'}`]
    case 'commented':
      return [' on ', title, quote(detail.text)]
    case 'edited':
      return [' edited ', title, ` – ${(PRIORITIES[detail.priority] ?? 'new').toLowerCase()}`]
    case 'closed':
      return [' finished ', title]
    case 'reopened':
      return [' sent ', title, ' back']
    case 'archived':
      return [' archived ', title]
    default:
      return [` ${action} `, title]
  }
}

const strong = (text) => Object.assign(document.createElement('strong'), { textContent: text })
const emphasis = (text) => Object.assign(document.createElement('em'), { textContent: text })
const quote = (text) => Object.assign(document.createElement('q'), { textContent: text })

function drawTimes() {
  for (const time of byId('feed').querySelectorAll('time')) {
    const seconds = Math.max(0, (Date.now() - Date.parse(time.dateTime)) / 1000)
    setText(time, seconds < 5 ? 'now' : seconds < 60 ? `${Math.floor(seconds)} s ago` : longAgo(seconds))
  }
}

function longAgo(seconds) {
  const minutes = seconds / 60
  if (minutes < 60) return `${Math.floor(minutes)} min ago`
  return minutes < 1440 ? `${Math.floor(minutes / 60)} h ago` : `${Math.floor(minutes / 1440)} d ago`
}

// --- Boards ----------------------------------------------------------------------------------------------------

const people = new Rows({ table: 'public.users', columns: ['id', 'name', 'hue'], snapshot: true }, () => {
  soon(drawBoard)
  soon(drawFeed)
})
const boards = new Rows({ table: 'public.boards', columns: ['id', 'name', 'description'], snapshot: true }, () => soon(drawBoards))
const nothing = new Rows({}, () => {})
const view = { board: null, states: nothing, entries: nothing, feed: nothing, kpis: nothing, live: false }

function drawBoards() {
  const rows = [...boards.rows.values()].sort((a, b) => compareIds(a.id, b.id))
  const wanted = new URLSearchParams(location.hash.slice(1)).get('board')
  if (!boards.rows.has(view.board)) {
    const first = boards.rows.has(wanted) ? wanted : rows[0]?.id
    if (first) show(first)
  }
  byId('boards').replaceChildren(
    ...rows.map((row) => {
      const button = Object.assign(document.createElement('button'), { type: 'button', textContent: row.name, title: row.description })
      if (row.id === view.board) button.setAttribute('aria-current', 'true')
      button.onclick = () => {
        show(row.id)
        drawBoards()
        byId('boards').querySelector('[aria-current]')?.focus()
      }
      const item = document.createElement('li')
      item.append(button)
      return item
    }),
  )
}

/** Where this page is, in the address bar: what `tidegate demo` put there about other servers stays. */
function place(board) {
  const peers = line.addresses.slice(1)
  return `#board=${encodeURIComponent(board)}${peers.length > 0 ? `&peers=${peers.join()}` : ''}`
}

/** What is followed of a board. */
const VIEWS = ['states', 'entries', 'feed', 'kpis']

/** Follows another board; what comes late for the one before is not ours any more. */
function show(board) {
  if (board === view.board) return
  for (const name of VIEWS) line.unsubscribe(`${name}:${view.board}`)
  const mine = { where: 'board_id = $1', params: [board] }
  Object.assign(view, {
    board,
    live: false,
    states: new Rows(
      { table: 'public.workflow_states', ...mine, columns: ['id', 'name', 'kind', 'ordinal'], snapshot: true },
      () => soon(drawBoard),
    ),
    entries: new Rows(
      {
        table: 'public.entries',
        ...mine,
        columns: ['id', 'title', 'state_id', 'position', 'priority', 'labels', 'assignee_id', 'version'],
        snapshot: true,
      },
      noteCards,
    ),
    feed: new Rows(
      { table: 'public.activities', ...mine, snapshot: { order_by: 'at desc', limit: FEED_ROWS } },
      (changes) => {
        view.live = changes.length > 0
        // A hidden page draws when it is shown; until then the list must not grow without end.
        if (view.feed.rows.size > 4 * FEED_ROWS) drawFeed()
        else soon(drawFeed)
      },
    ),
    kpis: new Rows(
      { table: 'public.kpi_values', ...mine, snapshot: true, delivery: 'latest', interval_ms: 250 },
      () => soon(drawTiles),
    ),
  })
  fresh.clear()
  for (const name of VIEWS) line.subscribe(`${name}:${board}`, view[name])
  history.replaceState(null, '', place(board))
}

// --- Status and wire -------------------------------------------------------------------------------------------

/** This page's own server, and those that its address names, as in `#peers=127.0.0.1:8081`. */
function servers() {
  const peers = new URLSearchParams(location.hash.slice(1)).get('peers')?.split(',') ?? []
  // The server's policy for this page allows no others; they would only be waited for in vain.
  return [location.host, ...peers.filter((peer) => /^(127\.0\.0\.1|localhost):\d{1,5}$/.test(peer))]
}

const line = new Line(servers())

line.addEventListener('state', ({ detail }) => {
  if (detail.state === 'pong') {
    const ms = detail.ms < 10 ? detail.ms.toFixed(1) : Math.round(detail.ms)
    setText(byId('latency'), `${ms} ms`)
    return
  }
  if (detail.state === 'renewed') {
    drawWho()
    return
  }
  if (detail.state === 'refused') {
    refuse(detail.frame)
    return
  }
  if (detail.state === 'hopped') {
    follow(detail)
    return
  }
  byId('status').dataset.state = detail.state
  if (detail.state !== 'live') setText(byId('latency'), '')
  setText(byId('status-text'), wording(detail))
  setText(byId('server'), line.address)
  byId('server').hidden = line.addresses.length === 1
  byId('cut').disabled = detail.state !== 'live'
  if (detail.state === 'ended' && line.login) knock(REFUSALS.get(detail.reason) ?? `${detail.text}: ${detail.reason}`)
  else if (detail.state === 'ended') notice(detail.reason ? `${detail.text}: ${detail.reason}` : `${detail.text}.`)
  else if (detail.state === 'live') notice('')
})

function wording({ state, ms, again }) {
  switch (state) {
    case 'live':
      return 'Live'
    case 'connecting':
      return again ? 'Resuming …' : 'Connecting …'
    case 'waiting':
      return ms < 1000 ? 'Reconnecting …' : `Back in ${Math.round(ms / 1000)} s`
    default:
      return 'Disconnected'
  }
}

/** What was brought along to another server: told until the next time, or for a minute. */
let hop = null

function follow({ from, to }) {
  clearTimeout(hop?.timer)
  const asked = new Set(line.subscriptions.keys())
  const timer = setTimeout(() => (byId('hop').hidden = true), HOP_MS)
  hop = { from, to, at: Date.now(), asked, waiting: new Set(asked), reloaded: new Set(), changes: 0, timer }
  byId('hop').hidden = false
  soon(drawHop)
}

/** A frame from the new server: an answer to what was asked of it first, or a change from the time before. */
function account({ type, id, cursor, tx, changes }) {
  if (!hop?.asked.has(id)) return
  if (type === 'subscribed') hop.waiting.delete(id)
  if (type === 'resync' || (type === 'subscribed' && !cursor)) hop.reloaded.add(id)
  if (type === 'changes' && tx && Date.parse(tx.committed_at) <= hop.at) hop.changes += changes.length
  soon(drawHop)
}

function drawHop() {
  const { from, to, waiting, reloaded, asked, changes } = hop
  const caught = `${changes} ${changes === 1 ? 'change' : 'changes'} caught up`
  const again = reloaded.size === 0 ? 'nothing reloaded' : `${reloaded.size} of ${asked.size} subscriptions reloaded`
  setText(byId('hop'), waiting.size > 0 ? `${from} is gone: resuming on ${to} …` : `${from} is gone: resumed on ${to}, ${caught}, ${again}.`)
}

function refuse({ code, message, hint }) {
  const text = code === 'unknown_table'
    ? `${message}. This page shows the board of “tidegate demo”; your own tables are a subscription away, see the README.`
    : `${message}${hint ? ` – ${hint}` : ''}`
  notice(text)
}

function notice(text) {
  byId('notice').hidden = text === ''
  setText(byId('notice'), text)
}

const frames = []

line.addEventListener('frame', ({ detail: { frame, data } }) => {
  if (frame.type === 'pong') return
  account(frame)
  frames.unshift(data)
  frames.length = Math.min(frames.length, WIRE_FRAMES)
  if (byId('wire').open) soon(drawFrames)
  if (frame.type !== 'changes' || !frame.tx) return
  const count = frame.changes.length
  const delay = Date.now() - Date.parse(frame.tx.committed_at)
  // Two clocks: a negative or a huge difference tells of them and not of the way.
  const late = delay >= 0 && delay < 5_000 ? `, here ${delay} ms after its commit` : ''
  setText(byId('last'), `transaction ${frame.tx.id} · ${count} ${count === 1 ? 'change' : 'changes'} · ${frame.lsn}${late}`)
})

function drawFrames() {
  byId('frames').replaceChildren(
    ...frames.map((data) => {
      const text = data.length > WIRE_CHARACTERS ? `${data.slice(0, WIRE_CHARACTERS)} …` : data
      const item = document.createElement('li')
      item.append(Object.assign(document.createElement('code'), { textContent: text }))
      return item
    }),
  )
}

byId('wire').addEventListener('toggle', () => soon(drawFrames))
byId('cut').addEventListener('click', () => line.cut(3_000))
byId('theme').addEventListener('click', () => {
  const dark = document.documentElement.dataset.theme
    ? document.documentElement.dataset.theme === 'dark'
    : matchMedia('(prefers-color-scheme: dark)').matches
  theme(dark ? 'light' : 'dark')
})

function theme(name) {
  if (name !== 'light' && name !== 'dark') return
  document.documentElement.dataset.theme = name
  try {
    localStorage.setItem('theme', name)
  } catch {
    // Remembering is a courtesy; some browsers forbid it.
  }
}

try {
  theme(localStorage.getItem('theme'))
} catch {
  // As above.
}

addEventListener('hashchange', () => {
  const wanted = new URLSearchParams(location.hash.slice(1)).get('board')
  if (wanted && boards.rows.has(wanted)) {
    show(wanted)
    drawBoards()
  }
})
addEventListener('online', () => line.returnNow())
setInterval(drawTimes, 1_000)

// --- Who it is -------------------------------------------------------------------------------------------------

/** Reasons that are about the person, in words for it. */
const REFUSALS = new Map([
  ['role_not_allowed', 'The provider knows you, but with your role there is nothing for you to see here.'],
  ['profile_refused', 'The database did not take your profile.'],
  ['expired', 'Your login has ended.'],
  ['unknown_key', 'Your login is of a provider that has started again since.'],
])

/** Shows the way in instead of the boards, and why. */
function knock(why = '') {
  byId('login').hidden = false
  byId('content').hidden = true
  byId('boards').replaceChildren()
  byId('cut').hidden = byId('status').hidden = true
  setText(byId('login-why'), why)
  drawWho()
}

function drawWho() {
  const name = line.login?.claims?.name ?? line.login?.claims?.sub
  byId('who').hidden = !name
  if (!name) return
  setText(byId('who-name'), name)
  paintAvatar(byId('who-avatar'), { name, hue: 190 })
}

byId('log-in').addEventListener('click', () => line.login.begin().catch(({ message }) => knock(`The provider does not answer: ${message}`)))
byId('log-out').addEventListener('click', () => {
  line.close()
  line.login.end().catch(() => knock('You are logged out here. The provider does not answer.'))
})

async function start() {
  line.login = await openLogin()
  if (line.login) {
    try {
      if (!(await line.login.resume())) return knock()
    } catch ({ message }) {
      return knock(`That did not work: ${message}.`)
    }
    drawWho()
  }
  line.subscribe('users', people)
  line.subscribe('boards', boards)
  line.connect()
}

start()
