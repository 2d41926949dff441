// A yamux peer on yamux-js, which is asked for no more than to echo and to answer pings; see ../README.md.
import yamux from 'yamux-js'
import { run } from './ends.mjs'

function serve (stream) {
  let isCommand = true
  stream.on('data', (data) => {
    if (isCommand) data = data.subarray(data.indexOf('\n') + 1) // it came in one piece, or this peer would have lost it
    isCommand = false
    if (data.length > 0) stream.write(data)
  })
  stream.on('error', () => {})
}

run((socket, isClient) => {
  const session = isClient
    ? new yamux.Client({ enableKeepAlive: false, logger: () => {} })
    : new yamux.Server(serve, { enableKeepAlive: false, logger: () => {} })
  if (isClient) session.onStream = serve
  session.on('error', () => {})
  socket.on('error', () => {})
  socket.pipe(session).pipe(socket)
})
