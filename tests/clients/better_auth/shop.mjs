// A shop whose customers sign in with Better Auth and subscribe through its Stripe plugin.
// All settings come from the environment; it prints one line once it listens.

import { createServer } from "node:http";

import { stripe } from "@better-auth/stripe";
import { betterAuth } from "better-auth";
import { memoryAdapter } from "better-auth/adapters/memory";
import { toNodeHandler } from "better-auth/node";
import Stripe from "stripe";

const { SHOP_PORT, SHOP_STRIPE, SHOP_BASIC, SHOP_PRO, SHOP_WEBHOOK_SECRET } = process.env;
const at = new URL(SHOP_STRIPE);
const tables = { account: [], session: [], subscription: [], user: [], verification: [] };

const auth = betterAuth({
  baseURL: `http://127.0.0.1:${SHOP_PORT}`,
  database: memoryAdapter(tables),
  emailAndPassword: { enabled: true },
  rateLimit: { enabled: false },
  secret: "of no use to anybody outside of these tests",
  telemetry: { enabled: false },
  user: { deleteUser: { enabled: true } },
  plugins: [
    stripe({
      createCustomerOnSignUp: true,
      stripeClient: new Stripe("sk_test_shop", {
        host: at.hostname,
        maxNetworkRetries: 0,
        port: at.port,
        protocol: "http",
        telemetry: false,
      }),
      stripeWebhookSecret: SHOP_WEBHOOK_SECRET,
      subscription: {
        enabled: true,
        plans: [
          { name: "basic", priceId: SHOP_BASIC },
          { name: "pro", priceId: SHOP_PRO },
        ],
      },
    }),
  ],
});

createServer(toNodeHandler(auth)).listen(Number(SHOP_PORT), "127.0.0.1", () => {
  console.log("ready");
});
