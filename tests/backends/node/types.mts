// What users write: compiled, not run.
import { type Answer, type Code, Countersign, CountersignError, type Revocation, type Session } from "@countersign/backend";

const countersign = new Countersign({ url: "https://auth.example.com", apiKey: "key", timeout: 3000 });

export async function login(id: number): Promise<Session | Code> {
  try {
    // @ts-expect-error: a number is no user id
    await countersign.generate("web", id);
    // @ts-expect-error: nor is nothing
    await countersign.generate("web", undefined);
    return await countersign.generate("web", String(id), { ttl: 60 });
  } catch (error) {
    if (!(error instanceof CountersignError)) throw error;
    const wait: number | null = error.retryAfter;
    const status: number | null = error.status;
    return wait === null && status === 403 ? error.code : "unavailable";
  }
}

export async function others(session: Session): Promise<Revocation> {
  // @ts-expect-error: there may be no refresh token
  await countersign.refresh(session.refreshToken);
  const next = await countersign.refresh(session.refreshToken ?? "", { userId: "u-1", failure: { errorCode: 22 } });
  await countersign.reportFailure(next.refreshToken ?? "", { errorCode: 25 });
  // @ts-expect-error: the token is not to be set
  next.token = "";
  const due: boolean = next.isDueForRefresh(new Date()) || !next.isRefreshable(Date.now());
  const answer: Answer = await countersign.answer("web", "u-1");
  return countersign.revoke(due ? answer.body.status === 200 ? "a" : "b" : "c");
}
