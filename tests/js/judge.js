// The official JavaScript packages on webhooks that arrived: one verdict per message, in order.
"use strict";

const { createPublicKey, verify } = require("node:crypto");
const { readFileSync } = require("node:fs");
const { HTTP } = require("cloudevents");
const { Webhook } = require("standardwebhooks");

const SPKI_OF_ED25519 = Buffer.from("302a300506032b6570032100", "hex");

const outcome = (judge) => {
  try {
    return { value: judge() };
  } catch (error) {
    return { error: `${error.name}: ${error.message}` };
  }
};

// No official package knows v1a yet: this is what the standard's text asks of a consumer, with what Node brings along.
const verifiesByKey = (headers, body, publicKey) => {
  const key = createPublicKey({
    key: Buffer.concat([SPKI_OF_ED25519, Buffer.from(publicKey.replace("whpk_", ""), "base64")]),
    format: "der",
    type: "spki",
  });
  const content = Buffer.concat([Buffer.from(`${headers["webhook-id"]}.${headers["webhook-timestamp"]}.`), body]);
  return headers["webhook-signature"]
    .split(" ")
    .map((entry) => entry.split(","))
    .some(([version, text]) => version === "v1a" && verify(null, content, key, Buffer.from(text, "base64")));
};

const { messages, secret, publicKey } = JSON.parse(readFileSync(0, "utf8"));
const verdicts = messages.map(({ headers, body: encoded }) => {
  const body = Buffer.from(encoded, "base64");
  return {
    verified: outcome(() => new Webhook(secret).verify(body, headers)),
    verifiedByKey: outcome(() => verifiesByKey(headers, body, publicKey)),
    event: outcome(() => HTTP.toEvent({ headers, body: body.toString("utf8") })),
  };
});
process.stdout.write(JSON.stringify(verdicts));
