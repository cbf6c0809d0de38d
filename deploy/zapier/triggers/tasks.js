// What starts a Zap: a task that ended. Taskweir tells at once (REST hook); samples come from the same place.
'use strict';

const { at } = require('../requests');
const samples = require('./samples.json');

const subscribeTo = (event) => async (z, bundle) => {
  const { data } = await z.request({
    url: at(bundle, '/v1/hooks'),
    method: 'POST',
    body: { target_url: bundle.targetUrl, event },
  });
  return data;
};

const unsubscribe = async (z, bundle) => {
  await z.request({ url: at(bundle, `/v1/hooks/${bundle.subscribeData.id}`), method: 'DELETE' });
  return {};
};

const listOf = (event) => async (z, bundle) => {
  const { data } = await z.request({ url: at(bundle, '/v1/hooks/sample'), params: { event } });
  return data;
};

const OUTPUT_FIELDS = [
  { key: 'id', label: 'Event ID' },
  { key: 'type', label: 'Event' },
  { key: 'timestamp', label: 'Happened At', type: 'datetime' },
  { key: 'task_id', label: 'Task ID' },
  { key: 'provider', label: 'Provider' },
  { key: 'provider_task_id', label: "Provider's Task ID" },
  { key: 'model', label: 'Model' },
  { key: 'status', label: 'Status' },
  { key: 'prompt', label: 'Prompt' },
  { key: 'output_url', label: 'Result' },
  { key: 'output_urls', label: 'All Results', list: true },
  { key: 'error_kind', label: 'Kind of Error' },
  { key: 'error_message', label: 'Error' },
  { key: 'credits', label: 'Credits', type: 'number' },
  { key: 'late', label: 'Late', type: 'boolean' },
  { key: 'expires_at', label: 'Result Expires At', type: 'datetime' },
  { key: 'created_at', label: 'Submitted At', type: 'datetime' },
  { key: 'finished_at', label: 'Finished At', type: 'datetime' },
];

const aTrigger = (key, event, label, description) => ({
  key,
  noun: 'Task',
  display: { label, description },
  operation: {
    type: 'hook',
    performSubscribe: subscribeTo(event),
    performUnsubscribe: unsubscribe,
    perform: (z, bundle) => [bundle.cleanedRequest],
    performList: listOf(event),
    sample: samples[event],
    outputFields: OUTPUT_FIELDS,
  },
});

module.exports = {
  taskFinished: aTrigger(
    'task_finished',
    'task.finished',
    'Task Finished',
    'Triggers when a task ends: it succeeded, failed, was canceled or expired.',
  ),
  taskFailed: aTrigger('task_failed', 'task.failed', 'Task Failed', 'Triggers when a task fails.'),
};
