// What both peers of this folder share: a TLS listener, and dialling when standard input asks for it; see ../README.md.
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import tls from 'node:tls'

const [chain, key, authority] = process.argv.slice(2).map((file) => readFileSync(file))
const common = { minVersion: 'TLSv1.3', ALPNProtocols: ['tunnel/1'] }

export function run (begin) {
  const listening = tls.createServer({ ...common, cert: chain, key }, (socket) => begin(socket, false))
  listening.listen(0, '127.0.0.1', () => process.stdout.write(`port ${listening.address().port}\n`))
  const lines = createInterface({ input: process.stdin })
  lines.on('line', (line) => {
    const port = Number(line.replace('dial ', ''))
    const options = { ...common, ca: authority, host: '127.0.0.1', port, servername: 'localhost' }
    const socket = tls.connect(options, () => begin(socket, true))
  })
  lines.on('close', () => process.exit(0))
}
