// BullMQ + pg + undici: node work.js PROCESSES CONCURRENCY. One INSERT a job, no ledger.
import cluster from "node:cluster";
import crypto from "node:crypto";
import { Worker } from "bullmq";
import { Redis } from "ioredis";
import pg from "pg";
import { Pool } from "undici";

const [processes, concurrency] = process.argv.slice(2).map(Number);
const TRADE = "/v3/futures/isolated/trade";
const JOB_SQL = `SELECT a.type, a.config, u.id, u.user_id, u.account_name, u.credentials, u.is_active, e.slug
  FROM "Automation" a JOIN user_exchange_accounts u ON u.id = a.user_exchange_account_id
  JOIN exchanges e ON e.id = u.exchange_id WHERE a.id = $1 AND a.user_id = $2`;
const LOG_SQL = `INSERT INTO "TradeLog" (id, user_id, automation_id, trade_id, status, action, pnl, amount, price,
  executed_at, created_at) VALUES ($1, $2, $3, $4, 'success', $5, $6, $7, $8, now(), now())`;

if (cluster.isPrimary) {
  for (let number = 0; number < processes; number += 1) cluster.fork();
} else {
  work();
}

function work() {
  const database = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: concurrency });
  const exchange = new Pool(process.env.LN_MARKETS_API_URL, { connections: concurrency, pipelining: 1 });
  const cipherKey = crypto.scryptSync(process.env.ENCRYPTION_KEY, "salt", 32);
  const opened = new Map();

  function decrypted(value) {
    const [iv, text] = value.split(":").map((part) => Buffer.from(part, "hex"));
    const decipher = crypto.createDecipheriv("aes-256-cbc", cipherKey, iv);
    return decipher.update(text, undefined, "utf8") + decipher.final("utf8");
  }

  function keysOf(id, row) {
    if (!opened.has(id)) {
      const [key, secret, passphrase] = ["API Key", "API Secret", "Passphrase"].map((name) => decrypted(row[name]));
      opened.set(id, { key, secret, passphrase });
    }
    return opened.get(id);
  }

  async function ask(keys, method, path, body = "") {
    const timestamp = String(Date.now());
    const text = `${timestamp}${method.toLowerCase()}${path}${body}`;
    const headers = {
      "content-type": "application/json",
      "lnm-access-key": keys.key,
      "lnm-access-passphrase": keys.passphrase,
      "lnm-access-timestamp": timestamp,
      "lnm-access-signature": crypto.createHmac("sha256", keys.secret).update(text).digest("base64"),
    };
    const answer = await exchange.request({ method, path, headers, body: body || undefined });
    if (answer.statusCode !== 200) throw new Error(`${method} ${path}: ${answer.statusCode}`);
    return answer.body.json();
  }

  async function load(job) {
    const { automationId, userId } = job.data;
    const { rows } = await database.query({ name: "job", text: JOB_SQL, values: [automationId, userId] });
    return { config: rows[0].config, keys: keysOf(rows[0].id, rows[0].credentials) };
  }

  async function log(job, action, trade) {
    const { userId, automationId } = job.data;
    const price = trade.exitPrice ?? trade.entryPrice;
    const values = [crypto.randomUUID(), userId, automationId, trade.id, action, trade.pl, trade.margin, price];
    await database.query({ name: "log", text: LOG_SQL, values });
  }

  const works = {
    async entry(job) {
      const { config, keys } = await load(job);
      const { quantity, leverage } = config;
      const side = config.side === "b" ? "buy" : "sell";
      const order = { type: "market", side, quantity, leverage, clientId: crypto.randomUUID() };
      await log(job, "auto_entry_executed", await ask(keys, "POST", TRADE, JSON.stringify(order)));
    },
    async guard(job) {
      const { config, keys } = await load(job);
      const { tradeId } = job.data;
      const trade = (await ask(keys, "GET", `${TRADE}s/running`)).find(({ id }) => id === tradeId);
      const { lastPrice } = await ask(keys, "GET", "/v3/futures/ticker");
      const way = Math.abs(trade.entryPrice - trade.liquidation) * (1 - config.margin_threshold / 100);
      if (lastPrice > trade.liquidation + way) return;
      await log(job, "close_position", await ask(keys, "POST", `${TRADE}/close`, JSON.stringify({ id: tradeId })));
    },
  };

  const connection = new Redis(process.env.REDIS_URL, { maxRetriesPerRequest: null });
  new Worker("rival", (job) => works[job.name](job), { connection, concurrency });
}
