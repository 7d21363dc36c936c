// A trading session of the official TypeScript SDK on the paper exchange at PAPER_URL, where fetch was pointed at it.
// Checks that answers have exactly the fields that the SDK's types name, and of those that only the Python SDK names the
// `clientId` of a cross order and three of the ticker; says `session: ok` at the end.

import assert from 'node:assert/strict'

import { createHttpClient } from '@ln-markets/sdk/rest/v3'

const NUMBER = ['number']
const TEXT = ['string']
const TRUTH = ['boolean']
const MAYBE_NUMBER = ['number', 'null']
const MAYBE_TEXT = ['string', 'null']

const fields = (kind, ...names) => Object.fromEntries(names.map((name) => [name, kind]))

const TRADE = {
  ...fields(TRUTH, 'canceled', 'closed', 'open', 'running'),
  ...fields(TEXT, 'createdAt', 'id', 'side', 'type', 'uid'),
  ...fields(MAYBE_TEXT, 'clientId', 'closedAt', 'filledAt'),
  ...fields(NUMBER, 'closingFee', 'entryMargin', 'leverage', 'liquidation', 'maintenanceMargin', 'margin'),
  ...fields(NUMBER, 'openingFee', 'pl', 'price', 'quantity', 'stoploss', 'stoplossTrailingDistance'),
  ...fields(NUMBER, 'sumCashInMargin', 'sumCashInPl', 'sumFundingFees', 'takeprofit'),
  ...fields(MAYBE_NUMBER, 'entryPrice', 'exitPrice'),
}
const ORDER = {
  ...fields(TRUTH, 'canceled', 'filled', 'open'),
  ...fields(TEXT, 'createdAt', 'id', 'side', 'type', 'uid'),
  ...fields(MAYBE_TEXT, 'canceledAt', 'clientId', 'filledAt'),
  ...fields(NUMBER, 'price', 'quantity', 'tradingFee'),
}
const POSITION = {
  ...fields(TEXT, 'id', 'uid', 'updatedAt'),
  ...fields(NUMBER, 'deltaPl', 'fundingFees', 'initialMargin', 'leverage', 'maintenanceMargin', 'margin'),
  ...fields(NUMBER, 'quantity', 'runningMargin', 'totalPl', 'tradingFees'),
  ...fields(MAYBE_NUMBER, 'entryPrice', 'liquidation'),
}
const ACCOUNT = {
  ...fields(TEXT, 'id', 'username'),
  ...fields(MAYBE_TEXT, 'email', 'linkingPublicKey'),
  ...fields(NUMBER, 'balance', 'feeTier', 'syntheticUsdBalance'),
}
const CANDLE = { ...fields(TEXT, 'time'), ...fields(NUMBER, 'open', 'high', 'low', 'close', 'volume') }
const TICKER = [
  ...['exchangesWeights', 'fundingRate', 'fundingTime', 'index', 'lastPrice', 'priceChange24h', 'prices', 'time'],
]

const is = (value, shape) => {
  assert.deepEqual(Object.keys(value).sort(), Object.keys(shape).sort())
  for (const [name, kinds] of Object.entries(shape)) {
    const kind = value[name] === null ? 'null' : typeof value[name]
    assert.ok(kinds.includes(kind), `${name} is ${JSON.stringify(value[name])}`)
  }
  return value
}

const paper = async (method, path, body) => {
  const answer = await fetch(`${process.env.PAPER_URL}/paper/${path}`, { method, body: JSON.stringify(body) })
  assert.ok(answer.ok, await answer.clone().text())
  return answer.json()
}

const refused = async (status, code, call) => {
  const error = await call.then(
    () => assert.fail(`not refused with ${status} ${code}`),
    (reason) => reason
  )
  assert.equal(error.name, 'HTTPError', error)
  assert.equal(error.response.status, status)
  assert.deepEqual(Object.keys(error.data).sort(), ['code', 'details', 'message'])
  assert.equal(error.data.code, code)
}

const { id, key, secret, passphrase } = await paper('POST', 'accounts', { username: 'node', balance: 10_000_000 })
const { account, futures, ping, time, syntheticUsd } = createHttpClient({ key, secret, passphrase })
const { isolated, cross } = futures

assert.equal(await ping(), 'pong')
is(await time(), fields(TEXT, 'time'))
const ticker = await futures.getTicker()
assert.deepEqual(Object.keys(ticker).sort(), TICKER)
assert.equal(ticker.lastPrice, 50_000)
is(ticker.prices[0], fields(NUMBER, 'askPrice', 'bidPrice', 'maxSize', 'minSize'))
is(await syntheticUsd.getBestPrice(), fields(NUMBER, 'askPrice', 'bidPrice'))
assert.equal(is(await account.get(), ACCOUNT).balance, 10_000_000)

await paper('POST', `accounts/${id}/notifications`, { message: 'Hello', event: 'greeting' })
assert.equal((await account.getNotifications()).data[0].event, 'greeting')
await account.readNotifications()
assert.deepEqual((await account.getNotifications()).data, [])

const order = { leverage: 10, quantity: 100, side: 'buy' }
const resting = is(await isolated.newTrade({ ...order, type: 'limit', price: 45_000.5, clientId: 'rests' }), TRADE)
assert.ok(resting.open && resting.clientId === 'rests')
assert.deepEqual(await isolated.getOpenTrades(), [resting])
assert.ok(is(await isolated.cancel({ id: resting.id }), TRADE).canceled)
assert.deepEqual(await isolated.cancelAll(), [])

const trade = is(await isolated.newTrade({ ...order, type: 'market', stoploss: 47_000, takeprofit: 60_000 }), TRADE)
assert.deepEqual([trade.running, trade.stoploss, trade.takeprofit], [true, 47_000, 60_000])
assert.equal(is(await isolated.updateTakeprofit({ id: trade.id, value: 61_000.5 }), TRADE).takeprofit, 61_000.5)
assert.equal((await isolated.updateStoploss({ id: trade.id, value: 0.05, mode: 'trailing' })).stoploss, 47_500)
assert.equal(is(await isolated.removeStoploss({ id: trade.id }), TRADE).stoploss, 0)
assert.equal(is(await isolated.removeTakeprofit({ id: trade.id }), TRADE).takeprofit, 0)
assert.equal(is(await isolated.addMargin({ id: trade.id, amount: 5000 }), TRADE).margin, trade.margin + 5000)
assert.equal(is(await isolated.cashIn({ id: trade.id, amount: 2000 }), TRADE).margin, trade.margin + 3000)
assert.deepEqual(
  (await isolated.getRunningTrades()).map((each) => each.id),
  [trade.id]
)
assert.ok(is(await isolated.close({ id: trade.id }), TRADE).closed)
await refused(400, 'TRADE_NOT_RUNNING', isolated.close({ id: trade.id }))
const second = await isolated.newTrade({ ...order, type: 'market', side: 'sell' })
await isolated.close({ id: second.id })
const last = await isolated.getClosedTrades({ limit: 1, from: resting.createdAt })
assert.equal(is(last.data[0], TRADE).id, second.id)
const first = await isolated.getClosedTrades({ limit: 1, from: resting.createdAt, cursor: last.nextCursor })
assert.deepEqual([first.data[0].id, first.nextCursor], [trade.id, null])

assert.equal(is(await cross.deposit({ amount: 1_000_000 }), POSITION).margin, 1_000_000)
assert.equal(is(await cross.setLeverage({ leverage: 20 }), POSITION).leverage, 20)
const open = is(await cross.newOrder({ type: 'limit', side: 'sell', price: 55_000, quantity: 10 }), ORDER)
assert.ok(is(await cross.newOrder({ type: 'market', side: 'buy', quantity: 1000, clientId: 'node' }), ORDER).filled)
assert.equal(is(await cross.getPosition(), POSITION).quantity, 1000)
assert.deepEqual(await cross.getOpenOrders(), [open])
assert.ok(is(await cross.cancel({ id: open.id }), ORDER).canceledAt)
await paper('POST', 'market/step', { seconds: 8 * 3600 })
const paid = (await cross.getFundingFees()).data[0]
assert.equal(is(paid, { ...fields(TEXT, 'settlementId', 'time'), fee: NUMBER, tradeId: MAYBE_TEXT }).fee, 200)
assert.ok(is(await cross.close(), ORDER).filled)
assert.equal(is(await cross.getPosition(), POSITION).quantity, 0)
assert.equal((await cross.getFilledOrders({ limit: 10 })).data.length, 2)
is(await cross.withdraw({ amount: 100_000 }), POSITION)
assert.deepEqual(
  (await cross.getTransfers()).data.map((each) => each.amount),
  [-100_000, 1_000_000]
)

is((await futures.getCandles({ range: '1h', limit: 1 })).data[0], CANDLE)
assert.equal((await futures.getFundingSettlements()).data.length, 1)
assert.equal((await futures.getLeaderboard()).daily[0].username, 'node')

const stranger = createHttpClient({ key, secret: 'wrong', passphrase })
await refused(401, 'INVALID_SIGNATURE', stranger.account.get())
await paper('POST', 'faults', { kind: 'rate_limit', route: '/v3/account', count: 1 })
await refused(429, 'RATE_LIMIT_EXCEEDED', account.get())

assert.deepEqual(await paper('GET', 'audit'), { ok: true, problems: [] })
console.log('session: ok')
