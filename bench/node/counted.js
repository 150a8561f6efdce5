// Cuts a stream into messages of one size.
"use strict";
exports.counted = (size, onMessage) => {
  const parts = [];
  let length = 0;
  return (chunk) => {
    while (chunk.length > 0) {
      if (length === 0 && chunk.length >= size) {
        onMessage(chunk.subarray(0, size));
        chunk = chunk.subarray(size);
        continue;
      }
      const piece = chunk.subarray(0, size - length);
      parts.push(piece);
      length += piece.length;
      chunk = chunk.subarray(piece.length);
      if (length === size) {
        onMessage(Buffer.concat(parts));
        parts.length = length = 0;
      }
    }
  };
};
