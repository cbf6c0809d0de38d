// The app as Zapier sees it: how to sign in, what starts a Zap, what a Zap can do.
'use strict';

const authentication = require('./authentication');
const { addKey, tellRefusal } = require('./requests');
const submitTask = require('./creates/submit_task');
const { taskFailed, taskFinished } = require('./triggers/tasks');

module.exports = {
  version: require('./package.json').version,
  platformVersion: require('zapier-platform-core').version,
  authentication,
  beforeRequest: [addKey],
  afterResponse: [tellRefusal],
  triggers: { [taskFinished.key]: taskFinished, [taskFailed.key]: taskFailed },
  creates: { [submitTask.key]: submitTask },
};
