// The same page, large file, echo and events on Node's own http module.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'

const fixed = { '/': ['text/html; charset=utf-8', 'index.html'], '/large.bin': ['application/octet-stream', 'large.bin'] }

createServer((request, response) => {
  if (request.url === '/events') {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    for (let number = 0; number < 3; number++) response.write(`data: event ${number}\n\n`)
    response.end()
  } else if (request.url === '/echo') {
    const sum = createHash('sha256')
    let count = 0
    request.on('data', (data) => { sum.update(data); count += data.length })
    request.on('end', () => response.end(`${count} ${sum.digest('hex')}`))
  } else if (fixed[request.url.split('?')[0]]) {
    const [kind, file] = fixed[request.url.split('?')[0]]
    response.writeHead(200, { 'content-type': kind })
    response.end(readFileSync(file))
  } else {
    response.writeHead(404, { 'content-type': 'text/plain' })
    response.end('nothing here\n')
  }
}).listen(Number(process.argv[2]), '127.0.0.1')
