// The server under test: as the adapter's README sets it up, with connection state recovery on.
import { createServer } from "node:http";
import { createAdapter } from "@socket.io/redis-streams-adapter";
import { createClient } from "redis";
import { Server } from "socket.io";

const redis = createClient({ url: process.argv[2] });
await redis.connect();
const http = createServer();
const io = new Server(http, {
  adapter: createAdapter(redis),
  connectionStateRecovery: {},
  transports: ["websocket"],
});
io.on("connection", (socket) => {
  socket.on("join", (room, done) => {
    socket.join(room);
    done();
  });
});
http.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ ok: http.address().port })));
