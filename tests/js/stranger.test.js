// The stranger's app subscribes, gets hooks, lists and unsubscribes, through Zapier's own core.
'use strict';

const assert = require('node:assert/strict');
const { createServer } = require('node:http');
const { once } = require('node:events');
const { test } = require('node:test');
const zapier = require('zapier-platform-core');

const App = require('./stranger');

const { TASKWEIR_URL, TASKWEIR_API_KEY } = process.env;
const authData = { token: TASKWEIR_API_KEY };
const run = zapier.createAppTester(App);
const { ending, video } = App.triggers;

const api = async (path, body) => {
  const headers = { authorization: `Bearer ${TASKWEIR_API_KEY}`, 'content-type': 'application/json' };
  const options = body ? { method: 'POST', headers, body: JSON.stringify(body) } : { headers };
  const response = await fetch(TASKWEIR_URL + path, options);
  assert.ok(response.ok, `${path}: ${response.status}`);
  return response.json();
};

const submitted = (prompt) =>
  api('/v1/tasks', { provider: 'reve2img', model: 'reve-2.0', input: { prompt }, metadata: { order: '42' } });

const subscribed = async (url) => (await api(`/v1/hooks?url=${encodeURIComponent(url)}`)).items.length;

// One Zap's URL, and the hooks that come to it.
const aZap = async (use) => {
  const hooks = [];
  const server = createServer(async (request, response) => {
    hooks.push(JSON.parse(Buffer.concat(await request.toArray())));
    response.end();
    server.emit('hook');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const until = async (count) => {
    while (hooks.length < count) {
      await once(server, 'hook', { signal: AbortSignal.timeout(20_000) });
    }
    return hooks;
  };
  try {
    await use(`http://127.0.0.1:${server.address().port}/hooks/standard/7/?a=b&c=d`, until);
  } finally {
    server.close();
  }
};

test('Zapier takes the definition, and the key', async () => {
  assert.deepEqual((await zapier.createAppHandler(App)({ command: 'validate' })).results, []);
  assert.equal((await run(App.authentication.test, { authData })).tenant, 'default');
});

test('by code: subscribe, hook, list, unsubscribe', () =>
  aZap(async (targetUrl, until) => {
    const bundle = { authData, targetUrl, inputData: { style: 'noir' } };
    const subscribeData = await run(video.operation.performSubscribe, bundle);
    assert.match(subscribeData.id, /^dst_/);
    await submitted('A kitten');
    const [hook] = await until(1);
    const [item] = await run(video.operation.perform, { authData, cleanedRequest: hook });
    assert.deepEqual([item.status, item.metadata_order], ['succeeded', '42']);
    const listed = await run(video.operation.performList, { authData });
    assert.deepEqual(listed[0], hook);
    assert.equal(new Set(listed.map(({ id }) => id)).size, listed.length);
    for (const _ of [1, 2]) {
      await run(video.operation.performUnsubscribe, { ...bundle, subscribeData });
    }
    assert.equal(await subscribed(targetUrl), 0);
  }));

test('mostly without code: subscribe, hook, list, unsubscribe by URL', () =>
  aZap(async (targetUrl, until) => {
    const bundle = { authData, targetUrl, inputData: {}, meta: { zap: { id: '1' } } };
    await run(ending.operation.performSubscribe, bundle);
    assert.equal(await subscribed(targetUrl), 1);
    const task = await submitted('A kitten');
    const [hook] = await until(1);
    assert.equal(hook.task_id, task.id);
    const listed = await run(ending.operation.performList, { authData });
    assert.equal(listed.length, 2);
    assert.deepEqual(listed[0], hook);
    await run(ending.operation.performUnsubscribe, { ...bundle, subscribeData: {} });
    assert.equal(await subscribed(targetUrl), 0);
  }));
