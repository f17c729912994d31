export { Countersign, type GenerateOptions, type Options, type RefreshOptions } from "./client.cjs";
export { CountersignError, type Code } from "./error.cjs";
export { Session, type Revocation, type SessionBody } from "./session.cjs";
export { Answer, type ProblemBody } from "./answer.cjs";
