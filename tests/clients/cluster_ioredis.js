// A cluster whose slots change hands, through ioredis' Cluster: no error may reach the application, and no count may be wrong.
//
//     node cluster_ioredis.js 127.0.0.1:7700 5

"use strict";

const Redis = require("ioredis");

const [host, port] = process.argv[2].split(":");
const seconds = Number(process.argv[3] || 5);
const WORKERS = 8;

function connect(options) {
  return new Redis.Cluster([{ host, port: Number(port) }], options);
}

/** Counts up keys of its own, each turn seeing its own write. */
async function count(client, number, until, counts) {
  for (let turn = 0; Date.now() < until; turn++) {
    const key = `js:${number}:${(turn * 31) % 499}`;
    const found = await client.incr(key);
    const expected = (counts.get(key) || 0) + 1;
    if (found !== expected) throw new Error(`${key}: ${found} instead of ${expected}`);
    counts.set(key, expected);
    if (Number(await client.get(key)) !== found) throw new Error(`${key}: a read does not see the write before it`);
  }
}

/** Pipelines of one slot each. */
async function pipelines(client, until, counts) {
  for (let turn = 1; Date.now() < until; turn++) {
    const tag = `{js${turn % 61}}`;
    const replies = await client.pipeline().set(`${tag}a`, turn).get(`${tag}a`).mget(`${tag}a`, `${tag}none`).exec();
    for (const [error] of replies) if (error) throw error;
    if (replies[1][1] !== String(turn) || replies[2][1][0] !== String(turn)) throw new Error(`pipeline ${turn}: ${JSON.stringify(replies)}`);
    counts.set("pipelines", turn);
  }
}

async function main() {
  const client = connect({});
  const until = Date.now() + seconds * 1000;
  const counts = Array.from({ length: WORKERS + 1 }, () => new Map());
  const work = counts.slice(1).map((own, number) => count(client, number, until, own));
  work.push(pipelines(client, until, counts[0]));
  const errors = (await Promise.allSettled(work)).filter((end) => end.status === "rejected").map((end) => String(end.reason));
  let done = 0;
  for (const own of counts.slice(1)) {
    for (const [key, expected] of own) {
      done += expected;
      const found = Number(await client.get(key));
      if (found !== expected) errors.push(`${key}: ${found} instead of ${expected}`);
    }
  }
  errors.forEach((error) => console.log(error));
  console.log(`ioredis Cluster: ${done + (counts[0].get("pipelines") || 0)} turns, ${errors.length} errors reached the application`);
  client.disconnect();
  process.exit(errors.length === 0 && done > 0 ? 0 : 1);
}

main().catch((error) => {
  console.log(`ioredis Cluster: ${error.stack}`);
  process.exit(1);
});
