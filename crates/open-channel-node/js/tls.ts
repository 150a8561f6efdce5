/**
 * TLS waits for `connect` of every net.Socket without a handle, connected or not. So it has to be
 * told apart.
 */
export function calledByTls(): boolean {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 8;
  const { stack } = new Error();
  Error.stackTraceLimit = stackTraceLimit;
  return stack?.includes("node:_tls_wrap") ?? false;
}
