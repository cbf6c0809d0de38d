// A browser's EventSource, as Node has it, on a watch_url: one line of JSON for each thing that a page would see.
"use strict";

const TYPES = ["queued", "submitted", "running", "progress", "unconfirmed", "succeeded", "failed", "canceled", "expired"];
const say = (fields) => process.stdout.write(`${JSON.stringify(fields)}\n`);

const source = new EventSource(process.argv[2]);
source.onopen = () => say({ saw: "open" });
source.onerror = () => say({ saw: "lost" });
for (const type of TYPES) {
  source.addEventListener(`task.${type}`, (event) =>
    say({ saw: "event", type, id: event.lastEventId, task: JSON.parse(event.data).data.task }),
  );
}
source.addEventListener("end", () => say({ saw: "end" })); // a page would close it: this one leaves that to the server
// Between two tries nothing else keeps Node from ending. Closed it is by the server alone: by 204, or by a refusal.
setInterval(() => {
  if (source.readyState === EventSource.CLOSED) {
    say({ saw: "closed" });
    process.exit();
  }
}, 20);
