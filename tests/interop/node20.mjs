// js-libp2p 3 wants Node.js 22; the one function that version 20 lacks.
Promise.withResolvers ??= function () {
  const parts = {}
  parts.promise = new Promise((resolve, reject) => Object.assign(parts, { resolve, reject }))
  return parts
}
