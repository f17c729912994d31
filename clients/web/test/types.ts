// Compiled, not run: checks that both SDKs have the type that the client requires.

import * as braze from "@braze/web-sdk";
import * as braze5 from "braze-web-sdk-5";
import { connectBrazeAuth, isDueForRefresh, isRefreshable, type BrazeAuth, type Identity, type LoginError } from "../dist/index.js";

declare const api: { brazeSession(): Promise<Identity> };

const options = { app: "web", endpoint: "https://auth.example.com", login: () => api.brazeSession() };
const auth: BrazeAuth = connectBrazeAuth(braze, options);
connectBrazeAuth(braze5, { ...options, onReloginNeeded: (code: string) => void code });

export async function use(user: { id: number }, identity: Identity): Promise<boolean[]> {
  const done: boolean = await auth.login(user.id);
  const code: string | undefined = await auth.login(user.id).then(() => undefined, (error: LoginError) => error.code);
  if (code === "opted_out") return [];
  await auth.logout();
  return [done, isRefreshable(identity, Date.now()), isDueForRefresh(identity, Date.now())];
}
