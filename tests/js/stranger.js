// A Zapier app as somebody who never saw ours would write it, by Zapier's public guide to REST hooks.
'use strict';

const core = require('zapier-platform-core');

const url = (path) => `${process.env.TASKWEIR_URL}${path}`;

const authentication = {
  type: 'custom',
  fields: [{ key: 'token', label: 'Token', required: true }],
  test: { url: url('/v1/me') },
  connectionLabel: '{{label}}',
};

const includeToken = (request, z, bundle) => {
  request.headers.authorization = `bearer ${bundle.authData.token}`;
  return request;
};

const trigger = (key, label, { subscribe, unsubscribe, list, sample }) => ({
  key,
  noun: label,
  display: { label: `New ${label}`, description: `Triggers on a new ${label.toLowerCase()}.` },
  operation: {
    type: 'hook',
    inputFields: [{ key: 'style', type: 'string' }],
    performSubscribe: subscribe,
    performUnsubscribe: unsubscribe,
    perform: (z, bundle) => {
      const { id, status, output_url, metadata_order } = bundle.cleanedRequest;
      return [{ id, status, output_url, metadata_order }];
    },
    performList: list,
    sample,
  },
});

// The guide's own way: fields of its choosing, one of them ours to ignore, and the id that came back.
const video = trigger('video', 'Video', {
  subscribe: (z, bundle) => {
    const body = { targetUrl: bundle.targetUrl, event: 'task.succeeded', style: bundle.inputData.style };
    return z.request({ url: url('/v1/hooks'), method: 'POST', body }).then((response) => response.data);
  },
  unsubscribe: (z, bundle) => {
    const options = { url: url(`/v1/hooks/${bundle.subscribeData.id}`), method: 'DELETE' };
    return z.request(options).then((response) => response.data);
  },
  list: (z) => z.request({ url: url('/v1/hooks/sample?event=task.succeeded') }).then((response) => response.data),
  sample: { id: 'evt_1', status: 'succeeded', output_url: 'https://example.com/1.mp4' },
});

// Requests without code, as the visual builder keeps them; unsubscribed by URL, with a body that nobody asked for. That
// one is a function: of a request without code Zapier's core wants JSON in the answer, and a 204 has none.
const ending = trigger('ending', 'Ending', {
  subscribe: {
    method: 'POST',
    url: url('/v1/hooks'),
    body: { hookUrl: '{{bundle.targetUrl}}', event: 'task.*', zap: '{{bundle.meta.zap.id}}' },
  },
  unsubscribe: async (z, bundle) => {
    const { targetUrl } = bundle;
    await z.request({ url: url('/v1/hooks'), method: 'DELETE', params: { url: targetUrl }, body: { hookUrl: targetUrl } });
    return {};
  },
  list: { url: url('/v1/hooks/sample'), params: { event: 'task.*', limit: 2 } },
  sample: { id: 'evt_1', status: 'running' },
});

module.exports = {
  version: '0.3.0',
  platformVersion: core.version,
  authentication,
  beforeRequest: [includeToken],
  triggers: { video, ending },
};
