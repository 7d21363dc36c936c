// Put the jobs of a file on the queue: node put.js JOBS
import { readFileSync } from "node:fs";
import { Queue } from "bullmq";
import { Redis } from "ioredis";

const connection = new Redis(process.env.REDIS_URL, { maxRetriesPerRequest: null });
const queue = new Queue("rival", { connection });
const jobs = readFileSync(process.argv[2], "utf8").trim().split("\n").map((line) => JSON.parse(line));
for (let start = 0; start < jobs.length; start += 500) {
  await queue.addBulk(
    jobs.slice(start, start + 500).map(([name, userId, automationId, tradeId]) => ({
      name,
      data: { userId, automationId, tradeId },
      opts: { removeOnComplete: true },
    })),
  );
}
await queue.close();
await connection.quit();
