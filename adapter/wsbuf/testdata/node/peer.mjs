// A peer for tap_node_test.go:
//   node peer.mjs server        prints its port, and talks to each client
//   node peer.mjs client URL    talks to a server, and prints how it ended
// Both take their compression context along from message to message, unless the
// other side asks them not to.
import { WebSocket, WebSocketServer } from 'ws'

const deflate = { threshold: 0 }
const messages = 300

// What either side says; tap_node_test.go makes the same.
const message = (who, i) => `${who} ${i} ` + 'abcdefghij'.repeat(i % 50)

async function talk(socket, who) {
  const write = (data, options) => new Promise((resolve, reject) => socket.send(data, options, err => err ? reject(err) : resolve()))
  for (let i = 0; i < messages; i++) {
    const m = message(who, i)
    if (i % 10 === 7) { // in three frames, one of them empty, with a ping between
      await write(m.slice(0, 5), { fin: false })
      socket.ping(`ping ${i}`)
      await write('', { fin: false })
      await write(m.slice(5), { fin: true })
    } else {
      await write(i % 3 === 0 ? Buffer.from(m) : m, { binary: i % 3 === 0, compress: i % 5 !== 4 })
    }
  }
  await write('that was all')
}

function peer(socket, who, closes) {
  let received = 0, other = 0
  const said = talk(socket, who)
  socket.on('message', async data => {
    if (data.toString() !== message(who === 'server' ? 'client' : 'server', received++)) other++
    if (data.toString() === 'that was all' && closes || data.toString() === 'close when you have said it') {
      await said
      socket.close(1000, 'bye')
    }
  })
  socket.on('close', (code, reason) => {
    if (who === 'client') console.log(JSON.stringify({ code, received, other, extensions: socket.extensions }))
  })
  socket.on('error', err => console.error(`${who}: ${err}`))
}

if (process.argv[2] === 'server') {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: deflate })
  server.on('connection', socket => peer(socket, 'server', false))
  server.on('listening', () => console.log(server.address().port))
  process.stdin.on('end', () => process.exit(0)).resume() // with the test
} else {
  const socket = new WebSocket(process.argv[3], { perMessageDeflate: deflate })
  socket.on('open', () => peer(socket, 'client', true))
}

