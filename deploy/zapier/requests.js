// What every request to Taskweir has in common: where it goes, who asks, and how a refusal reads in Zapier.
'use strict';

// An address is often pasted with a slash at its end.
const at = (bundle, path) => `${bundle.authData.url.replace(/\/+$/, '')}${path}`;

const addKey = (request, z, bundle) => {
  request.headers.Authorization = `Bearer ${bundle.authData.api_key}`;
  return request;
};

// Taskweir's errors are problems (RFC 9457): one sentence, and for each bad field its path and what is wrong.
const sentenceOf = (response) => {
  try {
    const { detail, errors = [] } = JSON.parse(response.content);
    return [detail, ...errors.map(({ path, message }) => `${path}: ${message}`)].join(' ');
  } catch {
    return `Taskweir answered ${response.status}: is its address right?`;
  }
};

const tellRefusal = (response, z) => {
  if (response.status < 400) {
    return response;
  }
  const sentence = sentenceOf(response);
  if (response.status === 503) {
    // It is stopping, or its disk is nearly full: nothing was recorded, Zapier may try again.
    throw new z.errors.ThrottledError(sentence, Number(response.getHeader('retry-after')) || 30);
  }
  const code = response.status === 401 ? 'AuthenticationError' : 'Refused';
  throw new z.errors.Error(sentence, code, response.status);
};

module.exports = { addKey, at, tellRefusal };
