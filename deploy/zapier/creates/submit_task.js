// What a Zap can do: submit a task. It answers once the provider has it, not when it is finished.
'use strict';

const { at } = require('../requests');

const objectIn = (text) => {
  try {
    const value = JSON.parse(text);
    return typeof value === 'object' && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
};

const perform = async (z, bundle) => {
  const { provider, model, prompt, metadata, idempotency_key: key } = bundle.inputData;
  const further = objectIn(bundle.inputData.input || '{}');
  if (further === null) {
    throw new z.errors.Error('Further Parameters must be a JSON object, as {"duration": 5}.', 'Refused', 422);
  }
  const input = { ...further, ...(prompt ? { prompt } : {}) };
  const { data } = await z.request({
    url: at(bundle, '/v1/tasks'),
    method: 'POST',
    headers: key ? { 'Idempotency-Key': key } : {},
    body: { provider, model, input, metadata: metadata ?? {} },
  });
  return data;
};

module.exports = {
  key: 'submit_task',
  noun: 'Task',
  display: { label: 'Submit Task', description: 'Submits a task to a provider of videos or images.' },
  operation: {
    inputFields: [
      { key: 'provider', label: 'Provider', required: true, helpText: 'Its name in your Taskweir, as `apikley`.' },
      { key: 'model', label: 'Model', required: true },
      { key: 'prompt', label: 'Prompt', type: 'text' },
      {
        key: 'input',
        label: 'Further Parameters',
        type: 'text',
        helpText: "The provider's own, as JSON: `{\"duration\": 5}`.",
      },
      { key: 'metadata', label: 'Metadata', dict: true, helpText: 'Comes back with every event of the task.' },
      {
        key: 'idempotency_key',
        label: 'Idempotency Key',
        helpText: 'However often the same one is sent, there is one task, paid for once: map an ID of what started the Zap.',
      },
    ],
    perform,
    sample: {
      id: 'task_0000000000000000000000000a',
      provider: 'apikley',
      model: 'bytedance/v1-pro-text-to-video',
      status: 'submitted',
      provider_task_id: 'task_bytedance_1765186736545',
      created_at: '2026-11-20T19:48:00.000Z',
    },
    outputFields: [
      { key: 'id', label: 'Task ID' },
      { key: 'provider', label: 'Provider' },
      { key: 'model', label: 'Model' },
      { key: 'status', label: 'Status' },
      { key: 'provider_task_id', label: "Provider's Task ID" },
      { key: 'created_at', label: 'Submitted At', type: 'datetime' },
    ],
  },
};
