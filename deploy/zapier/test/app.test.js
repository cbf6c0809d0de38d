// The app as Zapier runs it, against a running Taskweir: TASKWEIR_URL, TASKWEIR_API_KEY, with the sandbox as its
// provider `reve2img`, and TASKWEIR_ALLOW_NETWORKS=loopback, for hooks come to a port of this process.
'use strict';

const assert = require('node:assert/strict');
const { createServer } = require('node:http');
const { once } = require('node:events');
const { after, before, test } = require('node:test');
const zapier = require('zapier-platform-core');

const App = require('..');

const authData = { url: `${process.env.TASKWEIR_URL}/`, api_key: process.env.TASKWEIR_API_KEY };
const run = zapier.createAppTester(App);
const { task_finished: finished, task_failed: failed } = App.triggers;
const { submit_task: submit } = App.creates;
const arrived = [];
let zap;

before(async () => {
  zap = createServer(async (request, response) => {
    const body = Buffer.concat(await request.toArray());
    arrived.push({ path: request.url, hook: JSON.parse(body) });
    response.end('{"status": "success"}');
    zap.emit('hook');
  });
  zap.listen(0, '127.0.0.1');
  await once(zap, 'listening');
});

after(() => zap.close());

const urlOf = (name) => `http://127.0.0.1:${zap.address().port}/hooks/standard/1/${name}/`;

const hooksAt = async (path, count) => {
  const found = () => arrived.filter((each) => each.path.endsWith(`/${path}/`)).map(({ hook }) => hook);
  while (found().length < count) {
    await once(zap, 'hook', { signal: AbortSignal.timeout(20_000) });
  }
  return found();
};

const submitted = (prompt, more = {}) =>
  run(submit.operation.perform, {
    authData,
    inputData: { provider: 'reve2img', model: 'reve-2.0', prompt, ...more },
  });

const refusal = (code) => (error) => JSON.parse(error.message).code === code;

test('the definition is one that Zapier takes', async () => {
  const { results } = await zapier.createAppHandler(App)({ command: 'validate' });
  assert.deepEqual(results, []);
});

test('a key is tried before it is kept', async () => {
  const me = await run(App.authentication.test, { authData });
  const label = await run(App.authentication.connectionLabel, { authData, inputData: me });
  assert.equal(label, `${me.label} (${me.tenant})`);
  const wrong = { ...authData, api_key: 'wrong-key-0123456789' };
  await assert.rejects(run(App.authentication.test, { authData: wrong }), refusal('AuthenticationError'));
});

test('a Zap is told of a task that it submitted, and sees the same in its samples', async () => {
  const bundle = { authData, targetUrl: urlOf('finished') };
  const subscribeData = await run(finished.operation.performSubscribe, bundle);
  assert.deepEqual(await run(finished.operation.performSubscribe, bundle), subscribeData);
  const task = await submitted('A kitten yawning', { metadata: { order: '42' }, input: '{"aspect_ratio": "1:1"}' });
  const [hook] = await hooksAt('finished', 1);
  const [item] = await run(finished.operation.perform, { authData, cleanedRequest: hook });
  assert.deepEqual(
    [item.task_id, item.type, item.prompt, item.metadata_order],
    [task.id, 'task.succeeded', 'A kitten yawning', '42'],
  );
  assert.ok(item.output_url.startsWith('http'));
  const [newest] = await run(finished.operation.performList, { authData });
  assert.deepEqual(newest, item);
  assert.deepEqual(
    finished.operation.outputFields.map(({ key }) => key),
    Object.keys(item).filter((key) => !key.startsWith('metadata_')),
  );
  for (const _ of 'twice!'.slice(0, 2)) {
    await run(finished.operation.performUnsubscribe, { ...bundle, subscribeData });
  }
});

test('a Zap for failures is told of those only', async () => {
  const bundle = { authData, targetUrl: urlOf('failed') };
  const subscribeData = await run(failed.operation.performSubscribe, bundle);
  await submitted('A kitten');
  const task = await submitted('[reject] A kitten');
  const [hook] = await hooksAt('failed', 1);
  assert.deepEqual([hook.task_id, hook.status], [task.id, 'failed']);
  const listed = await run(failed.operation.performList, { authData });
  assert.deepEqual(listed[0], hook);
  assert.ok(listed.every(({ type }) => type === 'task.failed'));
  await run(failed.operation.performUnsubscribe, { ...bundle, subscribeData });
});

test('a refusal is told in words', async () => {
  const path = (error) => /provider/.test(JSON.parse(error.message).message) && refusal('Refused')(error);
  await assert.rejects(submitted('A kitten', { provider: 'nobody' }), path);
  for (const input of ['no JSON', '[5]', 'null', '5']) {
    await assert.rejects(submitted('A kitten', { input }), refusal('Refused'));
  }
});

test('the same Idempotency Key is the same task', async () => {
  const [first, second] = [
    await submitted('A kitten', { idempotency_key: 'row-1' }),
    await submitted('A kitten', { idempotency_key: 'row-1' }),
  ];
  assert.equal(first.id, second.id);
});
