// The page at /docs: what /openapi.json says, to look at and to try. No dependencies; nothing is kept but the theme.

const METHODS = ['get', 'post', 'put', 'patch', 'delete']
/** Headers of an answer that this server's clients go by. */
const OURS = new Set(['tidegate-tx', 'tidegate-lsn', 'etag', 'idempotency-replayed'])
/** Members of members of members: deeper than any schema here. */
const DEEPEST = 6
/** Of all texts, as PostgreSQL knows them: nothing that a reader has to be told. */
const ANY_TEXT = '^[^\\u0000]*$'

const byId = (id) => document.getElementById(id)
/** The document. */
let openapi = null
/** All operations by their ids: `{ id, method, path, tag, spec, element, link }`. */
const operations = new Map()

/** An element with properties and children; those that are null or false are left out. */
function make(name, properties = {}, ...children) {
  const element = document.createElement(name)
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue
    if (key === 'data') Object.assign(element.dataset, value)
    else if (key.startsWith('aria-') || key === 'for') element.setAttribute(key, value)
    else element[key] = value
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false))
  return element
}

/** Text in which `words` between backticks are code. */
function prose(text) {
  return text.split(/(`[^`]+`)/).map((part) =>
    part.startsWith('`') ? make('code', { textContent: part.slice(1, -1) }) : part)
}

// --- Schemas -----------------------------------------------------------------------------------------------------

/** What a schema is in the end: `{ schema, name, nullable }`, with what stands beside a reference laid over it. */
function resolved(schema) {
  let name = null
  let nullable = false
  let now = schema ?? {}
  for (let step = 0; step < 20; step += 1) {
    if (now.$ref) {
      const { $ref, ...beside } = now
      name = $ref.split('/').pop()
      now = { ...(openapi.components.schemas[name] ?? {}), ...beside }
      continue
    }
    const choices = now.oneOf ?? now.anyOf
    const real = choices?.filter((choice) => choice.type !== 'null')
    if (real?.length === 1) {
      const { oneOf, anyOf, ...beside } = now
      nullable = real.length < choices.length
      now = { ...beside, ...real[0] }
      continue
    }
    break
  }
  if (Array.isArray(now.type) && now.type.includes('null')) nullable = true
  return { schema: now, name, nullable }
}

function types(schema) {
  return [schema.type ?? []].flat().filter((type) => type !== 'null')
}

/** In words, as in `list of Label`. */
function typeName({ schema, name, nullable }) {
  let text = types(schema).join(' or ') || (schema.oneOf ? 'one of several' : 'anything')
  if (schema.items) text = `list of ${typeName(resolved(schema.items))}`
  else if (name) text = `${name} (${text})`
  if (schema.format) text += `, ${schema.format}`
  return nullable ? `${text}, or null` : text
}

/** What values are held to. */
function rules(schema) {
  const told = []
  const range = (least, most, what) => {
    if (least !== undefined && most !== undefined) told.push(`${least} to ${most}${what}`)
    else if (least !== undefined) told.push(`at least ${least}${what}`)
    else if (most !== undefined) told.push(`at most ${most}${what}`)
  }
  if (schema.enum) told.push(schema.enum.map((value) => JSON.stringify(value)).join(', '))
  range(schema.minimum, schema.maximum, '')
  range(schema.minLength, schema.maxLength, ' characters')
  range(schema.minItems, schema.maxItems, ' elements')
  if (schema.pattern && schema.pattern !== ANY_TEXT) told.push(schema.pattern)
  if (schema.default !== undefined) told.push(`${JSON.stringify(schema.default)} if left out`)
  return told.join(' · ')
}

/** A value that the schema lets in; of an object what it must have, or with `all` everything. */
function example(schema, all, depth = 0) {
  const { schema: now } = resolved(schema)
  if (now.examples?.length) return now.examples[0]
  for (const key of ['example', 'const', 'default']) if (now[key] !== undefined) return now[key]
  if (now.enum) return now.enum[0]
  if (now.oneOf) return example(now.oneOf[0], all, depth + 1)
  const [type] = types(now)
  switch (type) {
    case 'object': {
      const object = {}
      for (const [name, member] of Object.entries(now.properties ?? {})) {
        if (depth < DEEPEST && (all || now.required?.includes(name))) object[name] = example(member, all, depth + 1)
      }
      return object
    }
    case 'array':
      return depth < DEEPEST && (all || now.minItems > 0) ? [example(now.items, all, depth + 1)] : []
    case 'integer':
    case 'number':
      return now.minimum > 0 ? now.minimum : 0
    case 'boolean':
      return true
    case 'string':
      if (now.format === 'date-time') return new Date(Date.now() + 86_400_000).toISOString()
      return now.format === 'uuid' ? crypto.randomUUID() : 'Something'
    default:
      return null
  }
}

/** The members of an object, of a list's elements, or of each of several shapes; null for what has none. */
function memberList(schema, depth = 0) {
  const { schema: now } = resolved(schema)
  if (depth > DEEPEST) return null
  if (now.items) return memberList(now.items, depth + 1)
  if (now.oneOf) {
    const shapes = now.oneOf.map((choice) => make('li', {},
      choice.description && make('span', { className: 'told' }, prose(choice.description)),
      memberList(choice, depth + 1)))
    return make('ul', { className: 'members' }, shapes)
  }
  const entries = Object.entries(now.properties ?? {})
  if (!entries.length) return null
  return make('ul', { className: 'members' }, entries.map(([name, member]) =>
    row(name, member, now.required?.includes(name), depth)))
}

function row(name, schema, isRequired, depth, description) {
  const found = resolved(schema)
  const told = description ?? schema.description ?? found.schema.description
  const nested = memberList(schema, depth + 1)
  const held = rules(found.schema)
  return make('li', {},
    make('span', { className: 'name', textContent: name }),
    make('span', { className: 'type', textContent: typeName(found) }),
    isRequired && make('span', { className: 'must', textContent: 'required' }),
    told && make('span', { className: 'told' }, prose(told)),
    held && make('span', { className: 'rule', textContent: held }),
    nested && make('details', { className: 'nest', open: true },
      make('summary', { textContent: 'members' }), nested))
}

// --- An operation ------------------------------------------------------------------------------------------------

function method(name) {
  return make('span', { className: 'method', textContent: name.toUpperCase(), data: { method: name } })
}

function path(text) {
  return make('span', { className: 'path' }, text.split(/(\{[^}]+\})/).map((part) =>
    part.startsWith('{') ? make('i', { textContent: part }) : part))
}

/** Its headline; what is inside is made when it is opened first. */
function drawOperation(operation) {
  const element = make('details', { className: 'operation', id: operation.id },
    make('summary', {}, method(operation.method), path(operation.path),
      make('span', { className: 'summary' }, prose(operation.spec.summary ?? ''))))
  element.addEventListener('toggle', () => {
    if (!element.open) return
    fill(operation)
    // Where the page stands can be handed on.
    if (location.hash !== `#${operation.id}`) history.replaceState(null, '', `#${operation.id}`)
    markCurrent()
  })
  operation.element = element
  return element
}

function fill({ element, spec, ...operation }) {
  if (element.querySelector('.inside')) return
  const body = spec.requestBody?.content?.['application/json']?.schema
  const about = make('div', { className: 'about' })
  const parameters = spec.parameters ?? []
  if (parameters.length) {
    about.append(make('section', {}, make('h3', { textContent: 'Parameters' }),
      make('ul', { className: 'members' }, parameters.map((parameter) => {
        const item = row(parameter.name, parameter.schema, parameter.required, 0, parameter.description)
        item.querySelector('.type').prepend(`in ${parameter.in}, `)
        return item
      }))))
  }
  if (body) {
    const { schema, name } = resolved(body)
    about.append(make('section', {},
      make('h3', {}, 'Body', make('span', { className: 'name', textContent: name ?? '' })),
      schema.description && make('p', { className: 'note' }, prose(schema.description)),
      memberList(body)))
  }
  about.append(make('section', {}, make('h3', { textContent: 'Answers' }),
    make('ul', { className: 'answers' }, Object.entries(spec.responses).map(drawAnswer))))
  element.append(make('div', { className: 'inside' }, about, trial({ spec, body, ...operation })))
}

function drawAnswer([status, { description, content }]) {
  const [[kind, { schema } = {}] = []] = Object.entries(content ?? {})
  const isProblem = kind === 'application/problem+json'
  const nested = schema && !isProblem && memberList(schema, 1)
  return make('li', {},
    make('span', { className: 'status', textContent: status, data: { class: status[0] } }),
    make('div', {}, make('span', {}, prose(description)),
      kind && !isProblem && make('span', { className: 'type', textContent: kind }),
      nested && make('details', { className: 'nest' }, make('summary', { textContent: 'members' }), nested)))
}

// --- To try it ---------------------------------------------------------------------------------------------------

/** A form that says what would be sent, as curl too, and sends it. */
function trial({ id, method: verb, path: pattern, spec, body }) {
  const fields = (spec.parameters ?? []).map((parameter) => ({ parameter, input: inputFor(id, parameter) }))
  const text = body && make('textarea', { id: `${id}-body`, spellcheck: false, autocomplete: 'off' })
  const command = make('code')
  const answer = make('div', { className: 'answer', hidden: true })
  answer.setAttribute('role', 'status')
  const send = make('button', { type: 'submit', className: 'loud', textContent: 'Send' })
  const copy = make('button', { type: 'button', className: 'quiet', textContent: 'Copy' })
  const write = (all) => {
    let value = example(body, all)
    // What must have nothing is shown with something: an empty change changes nothing.
    if (!all && !Object.keys(value).length) {
      const [first] = Object.entries(resolved(body).schema.properties ?? {})
      if (first && spec.requestBody && verb === 'patch') value = { [first[0]]: example(first[1], false) }
    }
    text.value = JSON.stringify(value, null, 2)
    text.rows = Math.min(24, Math.max(3, text.value.split('\n').length))
    show()
  }
  const request = () => requestOf(verb, pattern, fields, text)
  const show = () => {
    command.textContent = curl(request())
    text?.setAttribute('aria-invalid', String(Boolean(text.value.trim()) && !isJson(text.value)))
  }
  const form = make('form', {},
    fields.map(({ parameter, input }) => make('div', { className: 'entry' },
      make('label', { className: 'name', for: input.id, textContent: parameter.name }), input)),
    text && make('div', { className: 'whole' },
      make('div', { className: 'row' }, make('label', { className: 'name', for: text.id, textContent: 'body' }),
        button('Required', () => write(false), 'push'), button('Everything', () => write(true))),
      text),
    make('div', { className: 'row' }, send, make('span', { className: 'note', textContent: verb === 'get'
      ? 'Reads only.' : 'This changes what is in the database.' })))
  form.addEventListener('input', show)
  form.addEventListener('submit', async (event) => {
    event.preventDefault()
    send.disabled = true
    await exchange(request(), answer)
    send.disabled = false
  })
  copy.addEventListener('click', async () => {
    copy.textContent = await copied(command) ? 'Copied' : 'Selected'
    setTimeout(() => { copy.textContent = 'Copy' }, 1_500)
  })
  byId('token').addEventListener('input', show)
  if (text) write(false)
  show()
  return make('div', { className: 'trial' },
    make('section', {}, make('h3', { textContent: 'Try it' }), form),
    make('section', {}, make('h3', { textContent: 'The same with curl' }),
      make('div', { className: 'shell' }, make('pre', {}, command), copy)),
    answer)
}

function button(textContent, then, more = '') {
  const element = make('button', { type: 'button', className: `quiet ${more}`, textContent })
  element.addEventListener('click', then)
  return element
}

function inputFor(id, { name, in: place, required, schema }) {
  const { schema: now } = resolved(schema)
  const common = { id: `${id}-${place}-${name}`, required: required && place === 'path' }
  const choices = now.enum ?? (types(now)[0] === 'boolean' ? ['true', 'false'] : null)
  if (choices) {
    const options = required ? choices : ['', ...choices]
    return make('select', common, options.map((value) => make('option', { value, textContent: value })))
  }
  const shown = now.examples?.[0] ?? now.default ?? ''
  return make('input', {
    ...common, type: 'text', autocomplete: 'off', spellcheck: false, placeholder: String(shown),
    value: place === 'path' ? String(shown) : '',
  })
}

/** What the form says: `{ method, url, headers, body }`. */
function requestOf(verb, pattern, fields, text) {
  let url = pattern
  const query = new URLSearchParams()
  const headers = new Map()
  for (const { parameter: { name, in: place }, input: { value } } of fields) {
    if (place === 'path') url = url.replace(`{${name}}`, encodeURIComponent(value))
    else if (value === '') continue
    else if (place === 'query') query.append(name, value)
    else headers.set(name.toLowerCase(), value)
  }
  const body = text?.value.trim() || null
  if (body) headers.set('content-type', 'application/json')
  return { method: verb.toUpperCase(), url: query.size ? `${url}?${query}` : url, headers, body }
}

/** One line for a POSIX shell. The token is not in it: whoever copies it may show it to others. */
function curl({ method: verb, url, headers, body }) {
  const quote = (text) => `'${text.replaceAll("'", "'\\''")}'`
  const words = ['curl', '-i']
  if (verb !== 'GET') words.push('-X', verb)
  words.push(quote(location.origin + url))
  if (byId('token').value) words.push('-H', '"authorization: Bearer $TOKEN"')
  for (const [name, value] of headers) words.push('-H', quote(`${name}: ${value}`))
  if (body) words.push('-d', quote(isJson(body) ? JSON.stringify(JSON.parse(body)) : body))
  return words.join(' ')
}

function isJson(text) {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

async function exchange({ method: verb, url, headers, body }, answer) {
  const sent = new Headers()
  const token = byId('token').value.trim()
  const began = performance.now()
  let told
  try {
    for (const [name, value] of headers) sent.set(name, value)
    if (token) sent.set('authorization', `Bearer ${token}`)
    // As curl would: no cookie of a session, and nothing out of the browser's own cache.
    const response = await fetch(url, { method: verb, headers: sent, body, credentials: 'omit', cache: 'no-store' })
    const text = await response.text()
    told = { status: response.status, title: response.statusText, headers: [...response.headers], text }
  } catch (error) {
    told = { status: 0, title: 'No answer', headers: [], text: String(error.message ?? error) }
  }
  const took = `${Math.round(performance.now() - began)} ms`
  told.headers.sort(([one], [other]) => OURS.has(other) - OURS.has(one))
  answer.dataset.class = String(told.status)[0]
  answer.replaceChildren(
    make('p', {}, make('b', { textContent: told.status ? `${told.status} ${told.title}` : told.title }),
      make('span', { className: 'took', textContent: took })),
    make('dl', {}, told.headers.flatMap(([name, value]) => [
      make('dt', { textContent: name, className: OURS.has(name) ? 'ours' : '' }), make('dd', { textContent: value })])),
    make('pre', { tabIndex: 0, textContent: isJson(told.text) ? JSON.stringify(JSON.parse(told.text), null, 2) : told.text }))
  answer.hidden = false
}

/** Whether the browser let the text into the clipboard; else it is selected. */
async function copied(element) {
  try {
    await navigator.clipboard.writeText(element.textContent)
    return true
  } catch {
    getSelection().selectAllChildren(element)
    return false
  }
}

// --- The page ----------------------------------------------------------------------------------------------------

function draw() {
  for (const [pattern, item] of Object.entries(openapi.paths)) {
    for (const verb of METHODS) {
      const spec = item[verb]
      if (!spec) continue
      const [tag = 'other'] = spec.tags ?? []
      operations.set(spec.operationId, { id: spec.operationId, method: verb, path: pattern, tag, spec })
    }
  }
  const groups = Map.groupBy
    ? Map.groupBy(operations.values(), ({ tag }) => tag)
    : [...operations.values()].reduce((all, one) => all.set(one.tag, [...(all.get(one.tag) ?? []), one]), new Map())
  for (const [tag, members] of groups) {
    const title = tag[0].toUpperCase() + tag.slice(1).replaceAll('-', ' ')
    byId('groups').append(make('section', { className: 'group' },
      make('h2', { textContent: title }), members.map(drawOperation)))
    byId('index').append(make('section', {}, make('h2', { textContent: title }),
      make('ul', {}, members.map((operation) => {
        const short = { get: 'GET', post: 'POST', put: 'PUT', patch: 'PATCH', delete: 'DEL' }[operation.method]
        const name = method(operation.method)
        name.textContent = short
        operation.link = make('a', { href: `#${operation.id}` }, name, operation.id)
        return make('li', {}, operation.link)
      }))))
  }
  const { info } = openapi
  byId('lead').replaceChildren(...prose(`${info.description} Version ${info.version}, ${operations.size} operations; ` +
    'the document itself is at '), make('a', { href: '/openapi.json', textContent: '/openapi.json' }), '.')
}

/** Shows the operations that have all the words. */
function filter() {
  const words = byId('filter').value.toLowerCase().split(/\s+/).filter(Boolean)
  for (const { id, method: verb, path: pattern, tag, spec, element, link } of operations.values()) {
    const text = `${id} ${verb} ${pattern} ${tag} ${spec.summary}`.toLowerCase()
    const hidden = !words.every((word) => text.includes(word))
    element.hidden = hidden
    link.parentElement.hidden = hidden
  }
  for (const group of document.querySelectorAll('.group, .index section')) {
    group.hidden = ![...group.querySelectorAll('.operation, li:has(> a)')].some((member) => !member.hidden)
  }
}

/** Opens the operation that the address names. */
function follow() {
  const operation = operations.get(decodeURIComponent(location.hash.slice(1)))
  if (!operation) return
  if (operation.element.hidden) {
    byId('filter').value = ''
    filter()
  }
  operation.element.open = true
  fill(operation)
  operation.element.scrollIntoView({ block: 'start' })
  operation.element.querySelector('summary').focus({ preventScroll: true })
  markCurrent()
}

function markCurrent() {
  const current = location.hash.slice(1)
  for (const { id, link } of operations.values()) {
    if (id === current) link.setAttribute('aria-current', 'true')
    else link.removeAttribute('aria-current')
  }
  operations.get(current)?.link.scrollIntoView({ block: 'nearest' })
}

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

byId('theme').addEventListener('click', () => {
  const dark = document.documentElement.dataset.theme
    ? document.documentElement.dataset.theme === 'dark'
    : matchMedia('(prefers-color-scheme: dark)').matches
  theme(dark ? 'light' : 'dark')
})
byId('filter').addEventListener('input', filter)
addEventListener('hashchange', follow)
addEventListener('keydown', (event) => {
  const typing = event.target.closest?.('input, textarea, select')
  if (event.key === '/' && !typing && !event.ctrlKey && !event.metaKey) {
    event.preventDefault()
    byId('filter').focus()
  } else if (event.key === 'Escape' && event.target === byId('filter')) {
    byId('filter').value = ''
    filter()
  }
})

try {
  const response = await fetch('/openapi.json', { credentials: 'omit' })
  if (!response.ok) throw new Error(`${response.status} ${response.statusText}`)
  openapi = await response.json()
  draw()
  follow()
} catch (error) {
  byId('lead').dataset.state = 'bad'
  byId('lead').textContent = `The document could not be read: ${error.message}`
}
