/**
 * TLS waits for `connect` of every net.Socket without a handle, connected or not. So it has to be
 * told apart.
 */
export function calledByTls(): boolean {
  const limit = Object.getOwnPropertyDescriptor(Error, "stackTraceLimit");
  // It can be frozen, or gone: then the stack is what it is.
  const settable = limit?.writable === true;
  if (settable) Error.stackTraceLimit = 8;
  const { stack } = new Error();
  if (settable) Error.stackTraceLimit = limit.value;
  return stack?.includes("node:_tls_wrap") ?? false;
}
