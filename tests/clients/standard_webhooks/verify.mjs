// Verifies webhooks: one JSON object {secret, headers, body} a line in, its type or the error out.
import { createInterface } from "node:readline";
import { Webhook } from "standardwebhooks";

for await (const line of createInterface({ input: process.stdin })) {
  const { secret, headers, body } = JSON.parse(line);
  try {
    console.log(new Webhook(secret).verify(body, headers).type);
  } catch (error) {
    console.log(`${error.constructor.name}: ${error.message}`);
  }
}
