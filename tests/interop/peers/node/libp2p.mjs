// A yamux peer for interoperation tests, on @libp2p/yamux; what it does is told in ../README.md.
import { createHash } from 'node:crypto'

// Before the import: Node 20 has no such function, and the library needs it.
Promise.withResolvers ??= function () {
  const made = {}
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }))
  return made
}
const { defaultLogger } = await import('@libp2p/logger')
const { AbstractMultiaddrConnection } = await import('@libp2p/utils')
const { yamux } = await import('@libp2p/yamux')
const { run } = await import('./ends.mjs')

const BLOCK = Buffer.from(Array.from({ length: 251 * 256 }, (_, i) => i % 251))

class Connection extends AbstractMultiaddrConnection {
  constructor (socket, isClient) {
    super({ log: defaultLogger().forComponent('peer'), direction: isClient ? 'outbound' : 'inbound', inactivityTimeout: 1e9 })
    this.socket = socket
    socket.on('data', (data) => this.onData(data))
    socket.on('drain', () => this.safeDispatchEvent('drain'))
    socket.on('close', () => this.onTransportClosed())
    socket.on('error', () => {})
  }

  sendData (data) {
    const canSendMore = this.socket.write(data.subarray())
    return { sentBytes: data.byteLength, canSendMore }
  }

  async sendClose () { this.socket.end() }
  sendReset () { this.socket.destroy() }
  sendPause () { this.socket.pause() }
  sendResume () { this.socket.resume() }
}

// Bytes of a stream as they come, `null` at its end, an exception when it was reset.
class Reader {
  constructor (stream) {
    this.queue = []
    this.waiting = []
    stream.addEventListener('message', (event) => this.put(Buffer.from(event.data.subarray())))
    // A little later: the payload of a frame that has FIN is told after the end that it brings.
    stream.addEventListener('remoteCloseWrite', () => setTimeout(() => this.put(null)))
    stream.addEventListener('close', (event) => setTimeout(() => this.put(event.error ? event.error : null)))
  }

  put (item) {
    if (this.waiting.length > 0) this.waiting.shift()(item)
    else this.queue.push(item)
  }

  unread (data) { this.queue.unshift(data) }

  async read () {
    const item = this.queue.length > 0 ? this.queue.shift() : await new Promise((resolve) => this.waiting.push(resolve))
    if (item instanceof Error) throw item
    return item
  }

  async line () {
    let held = Buffer.alloc(0)
    while (true) {
      const data = await this.read()
      if (data === null) return null
      held = Buffer.concat([held, data])
      const at = held.indexOf('\n')
      if (at < 0) continue
      if (at + 1 < held.length) this.unread(held.subarray(at + 1))
      return held.subarray(0, at).toString()
    }
  }
}

class Peer {
  constructor (muxer) {
    this.muxer = muxer
    this.answers = new Map()
    muxer.addEventListener('stream', (event) => this.serve(event.detail).catch(() => {}))
  }

  answer (name) {
    if (!this.answers.has(name)) this.answers.set(name, Promise.withResolvers())
    return this.answers.get(name)
  }

  async serve (stream) {
    const reader = new Reader(stream)
    const command = await reader.line()
    if (command === null) return
    const [word, name, count] = command.split(' ')
    switch (word) {
      case 'echo': return await echo(stream, reader)
      case 'sink': return await say(stream, await digest(reader))
      case 'source':
        await write(stream, Number(name))
        await stream.close()
        return await digest(reader)
      case 'say':
        await write(stream, Number(count))
        await stream.close()
        return this.answer(`told ${name}`).resolve(await digest(reader))
      case 'wait': {
        const told = await digest(reader)
        return this.answer(`told ${name}`).resolve(told.endsWith('broken') ? 'reset' : 'end')
      }
      case 'hold':
        stream.pause()
        await this.answer(`go ${name}`).promise
        stream.resume()
        return await say(stream, await digest(reader))
      case 'go':
        this.answer(`go ${name}`).resolve()
        return await stream.close()
      case 'told': return await say(stream, await this.answer(`told ${name}`).promise)
      case 'reset': return stream.abort(new Error('asked to'))
      case 'ping': return await say(stream, String((await this.muxer.ping()) >= 0))
      case 'away':
        this.muxer.sendGoAway()
        return await echo(stream, reader)
      case 'open': return await say(stream, String(await this.open(Number(name))))
    }
  }

  // Open streams all at once, say something on each, end it, and count those on which exactly that came back.
  async open (count) {
    const one = async (number) => {
      const stream = await this.muxer.createStream()
      const reader = new Reader(stream)
      const said = `stream ${number} of the peer\n`
      await send(stream, Buffer.from(said))
      await stream.close()
      let heard = ''
      for (let data = await reader.read(); data !== null; data = await reader.read()) heard += data
      return heard === said ? 1 : 0
    }
    const all = await Promise.all(Array.from({ length: count }, (_, number) => one(number).catch(() => 0)))
    return all.reduce((sum, each) => sum + each, 0)
  }
}

async function send (stream, data) {
  if (!stream.send(data)) await stream.onDrain()
}

async function say (stream, text) {
  await send(stream, Buffer.from(`${text}\n`))
  await stream.close()
}

async function echo (stream, reader) {
  for (let data = await reader.read(); data !== null; data = await reader.read()) await send(stream, data)
  await stream.close()
}

// The number of bytes until the end, and their SHA-256; how it ended when that is not well.
async function digest (reader) {
  const sum = createHash('sha256')
  let count = 0
  try {
    for (let data = await reader.read(); data !== null; data = await reader.read()) {
      count += data.length
      sum.update(data)
    }
  } catch {
    return `${count} broken`
  }
  return `${count} ${sum.digest('hex')}`
}

async function write (stream, count) {
  for (let left = count; left > 0; left -= BLOCK.length) await send(stream, BLOCK.subarray(0, Math.min(left, BLOCK.length)))
}

run((socket, isClient) => {
  const factory = yamux({ maxInboundStreams: 4096, maxOutboundStreams: 4096, maxEarlyStreams: 4096 })()
  new Peer(factory.createStreamMuxer(new Connection(socket, isClient)))
})
