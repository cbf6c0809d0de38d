// Signing in: the server's address and a key of it, tried before they are kept.
'use strict';

const { at } = require('./requests');

const test = async (z, bundle) => {
  const { data } = await z.request({ url: at(bundle, '/v1/me') });
  if (!data.scopes.includes('admin')) {
    throw new z.errors.Error('This key may not subscribe: make one with the scope admin.', 'AuthenticationError', 403);
  }
  return data;
};

module.exports = {
  type: 'custom',
  fields: [
    {
      key: 'url',
      label: 'Address',
      required: true,
      helpText: 'Where your Taskweir answers, as `https://tasks.example.com`. Zapier must be able to reach it.',
    },
    {
      key: 'api_key',
      label: 'API Key',
      type: 'password',
      required: true,
      helpText: 'A key with the scope `admin`: what subscribes makes a destination.',
    },
  ],
  test,
  // What the test answered is `inputData` here.
  connectionLabel: (z, bundle) => `${bundle.inputData.label} (${bundle.inputData.tenant})`,
};
