// The publisher: a second Socket.IO node with the same adapter and no clients, so that every frame goes
// through Redis. It paces traffic as tests/benchmarks/traffic.py does, and is told what to do in the same lines.
import { createInterface } from "node:readline";
import { createAdapter } from "@socket.io/redis-streams-adapter";
import { createClient } from "redis";
import { Server } from "socket.io";

const MAGIC = Buffer.from([0xf0, 0x52, 0x45, 0x4c, 0x41, 0x59]);
const STAMP_BYTES = 18;

const redis = createClient({ url: process.argv[2] });
await redis.connect();
const io = new Server({ adapter: createAdapter(redis) });

const seqs = new Map();
let timer, published, lateMs;

function payload(conversation, sizeBytes) {
  const seq = (seqs.get(conversation) ?? 0) + 1;
  seqs.set(conversation, seq);
  const data = Buffer.alloc(sizeBytes, 0x2a);
  MAGIC.copy(data);
  data.writeBigUInt64BE(process.hrtime.bigint(), 6);
  data.writeUInt32BE(seq, 14);
  return data;
}

function order({ conversations, period_s: period, clips }) {
  const all = [];
  for (let number = 0; number < conversations; number++)
    for (const { at_s, size_bytes } of clips)
      all.push([((number / conversations) * period + at_s) % period, number, size_bytes]);
  return all.sort((a, b) => a[0] - b[0]);
}

const commands = {
  begin({ traffic }) {
    const all = order(traffic);
    const begin = performance.now() / 1000;
    let next = 0, start = begin;
    published = lateMs = 0;
    timer = setInterval(() => {
      for (;;) {
        const [at, conversation, sizeBytes] = all[next];
        const late = performance.now() / 1000 - start - at;
        if (late < 0) return;
        lateMs = Math.max(lateMs, late * 1000);
        io.to(`c${conversation}`).emit("frame", payload(conversation, sizeBytes));
        published++;
        if (++next === all.length) {
          next = 0;
          start += traffic.period_s;
        }
      }
    }, 1);
  },
  end() {
    clearInterval(timer);
    return { published, late_ms: lateMs };
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { do: command, ...rest } = JSON.parse(line);
  console.log(JSON.stringify({ ok: commands[command](rest) ?? null }));
}
process.exit(0);
