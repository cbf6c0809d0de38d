// The official AsyncAPI parser on some documents: what it has to say of each, and the messages of the channels it found.
"use strict";

const { readFileSync } = require("node:fs");
const { Parser } = require("@asyncapi/parser");

const judged = ({ document, diagnostics }) => {
  const channels = document ? document.channels().all() : [];
  return {
    said: diagnostics.map(({ severity, code, message, path }) => ({ severity, code, message, path })),
    messages: Object.fromEntries(channels.map((each) => [each.id(), each.messages().all().map((one) => one.name())])),
  };
};

const parser = new Parser();
Promise.all(JSON.parse(readFileSync(0, "utf8")).map((each) => parser.parse(JSON.stringify(each)))).then((all) =>
  process.stdout.write(JSON.stringify(all.map(judged))),
);
