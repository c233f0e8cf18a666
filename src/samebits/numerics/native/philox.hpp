// Clause N-10: Philox4x32-10 on vectors. A word is a function of its stream and its element's number alone; nothing is
// kept between calls. Words are values, not bytes: byte order does not matter.
#pragma once
#include "lanes.hpp"

namespace sb {

// What all elements of one tensor of one sample share: the key, and the counter without the element's block.
struct Stream {
  uint32_t key0, key1;  // the seed's low and high word
  uint32_t sample;      // counter word 1
  uint32_t step;        // counter word 2, below 2^24: the block's bits 32 to 39 stand above it
  uint32_t place;       // counter word 3: version, purpose and tensor
};

constexpr uint32_t PHILOX_MULTIPLIER_0 = 0xD2511F53, PHILOX_MULTIPLIER_1 = 0xCD9E8D57;
constexpr uint32_t PHILOX_WEYL_0 = 0x9E3779B9, PHILOX_WEYL_1 = 0xBB67AE85;
constexpr int PHILOX_ROUNDS = 10;

// A 64-bit lane holds one 32-bit word of one block in its low half; what stands in the high half is never looked at.
typedef uint64_t wide __attribute__((vector_size(WIDTH * 4)));
constexpr int BLOCK_ELEMENTS = 4;
constexpr int BLOCKS = WIDTH / 2;                         // blocks in one vector
constexpr int GROUP_ELEMENTS = BLOCK_ELEMENTS * BLOCKS;   // their elements: two vectors of words

// The 64-bit products of the low halves.
SB_INLINE wide wide_product(wide x, uint32_t multiplier) {
#if SB_WIDTH == 16
  return (wide)_mm512_mul_epu32((__m512i)x, _mm512_set1_epi64(multiplier));
#elif SB_WIDTH == 8
  return (wide)_mm256_mul_epu32((__m256i)x, _mm256_set1_epi64x(multiplier));
#elif defined(__x86_64__)
  return (wide)_mm_mul_epu32((__m128i)x, _mm_set1_epi64x(multiplier));
#else
  return (x & 0xffffffffu) * (uint64_t)multiplier;
#endif
}

#if SB_WIDTH == 16
#define SB_PAIRS_LOW 0, 8, 1, 9, 2, 10, 3, 11
#define SB_PAIRS_HIGH 4, 12, 5, 13, 6, 14, 7, 15
#elif SB_WIDTH == 8
#define SB_PAIRS_LOW 0, 4, 1, 5
#define SB_PAIRS_HIGH 2, 6, 3, 7
#else
#define SB_PAIRS_LOW 0, 2
#define SB_PAIRS_HIGH 1, 3
#endif

// Two words of each block beside one another, as elements lie in memory.
SB_INLINE wide beside(wide first, wide second) {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  return first << 32 | (second & 0xffffffffu);
#else
  return (first & 0xffffffffu) | second << 32;
#endif
}

// The words of N groups of blocks from `block` on (the number of the first element, divided by 4): words[0] holds those
// of elements 4 * block to 4 * block + WIDTH - 1, words[1] those of the next WIDTH, and so on. N independent chains hide
// the multiplier's latency; the block's number must stay below 2^40.
template <int N>
SB_INLINE void random_words(const Stream& stream, uint64_t block, u32v (&words)[2 * N]) {
  wide c0[N], c1[N], c2[N], c3[N];
  wide numbers;
  for (int i = 0; i < BLOCKS; i++) numbers[i] = (uint64_t)i;
  for (int n = 0; n < N; n++) {
    const wide number = numbers + (block + (uint64_t)(n * BLOCKS));
    c0[n] = number;
    c1[n] = wide{} + (uint64_t)stream.sample;
    c2[n] = (number >> 32 << 24) | (uint64_t)stream.step;
    c3[n] = wide{} + (uint64_t)stream.place;
  }
  wide key0 = wide{} + (uint64_t)stream.key0, key1 = wide{} + (uint64_t)stream.key1;
  for (int round = 0; round < PHILOX_ROUNDS; round++) {
    for (int n = 0; n < N; n++) {
      const wide left = wide_product(c0[n], PHILOX_MULTIPLIER_0), right = wide_product(c2[n], PHILOX_MULTIPLIER_1);
      c0[n] = (right >> 32) ^ c1[n] ^ key0;
      c1[n] = right;
      c2[n] = (left >> 32) ^ c3[n] ^ key1;
      c3[n] = left;
    }
    key0 += (uint64_t)PHILOX_WEYL_0;
    key1 += (uint64_t)PHILOX_WEYL_1;
  }
  for (int n = 0; n < N; n++) {
    const wide low = beside(c0[n], c1[n]), high = beside(c2[n], c3[n]);
    words[2 * n] = (u32v)__builtin_shufflevector(low, high, SB_PAIRS_LOW);
    words[2 * n + 1] = (u32v)__builtin_shufflevector(low, high, SB_PAIRS_HIGH);
  }
}

// Chains that fit the registers beside what a loop does with the words.
constexpr int CHAINS = SB_WIDTH == 8 || SB_SOFTWARE_FMA ? 2 : 4;

// Calls `apply(elements, words)` for elements 0 to n-1 in vectors, where element i has the word of element first + i of
// the stream. Only the last vector, and the last of the first group where `first` is no multiple of 4, are cut short.
template <class Apply>
__attribute__((always_inline)) inline void each_words(const Stream& stream, int64_t first, int64_t n, Apply apply) {
  int64_t i = 0;
  const int skipped = (int)(first % BLOCK_ELEMENTS);
  uint64_t block = (uint64_t)(first / BLOCK_ELEMENTS);
  if (skipped) {
    u32v words[2];
    random_words<1>(stream, block, words);
    uint32_t room[GROUP_ELEMENTS + WIDTH];
    memcpy(room, words, sizeof words);
    const int64_t end = n < GROUP_ELEMENTS - skipped ? n : GROUP_ELEMENTS - skipped;
    for (; i < end; i += WIDTH) {
      memcpy(words, room + skipped + i, sizeof words[0]);
      apply(Elements{i, end - i < WIDTH ? (int)(end - i) : WIDTH}, words[0]);
    }
    i = end;
    block += BLOCKS;
  }
  for (; i + CHAINS * GROUP_ELEMENTS <= n; i += CHAINS * GROUP_ELEMENTS, block += CHAINS * BLOCKS) {
    u32v words[2 * CHAINS];
    random_words<CHAINS>(stream, block, words);
    for (int v = 0; v < 2 * CHAINS; v++) apply(Elements{i + v * WIDTH, WIDTH}, words[v]);
  }
  for (; i < n; block += BLOCKS) {
    u32v words[2];
    random_words<1>(stream, block, words);
    for (int v = 0; v < 2 && i < n; v++, i += WIDTH)
      apply(Elements{i, n - i < WIDTH ? (int)(n - i) : WIDTH}, words[v]);
  }
}

// Clause N-21: an element is kept where its word is not below the threshold.
SB_INLINE i32v kept(u32v words, uint32_t threshold) { return (i32v)(words >= u32v{} + threshold); }
SB_INLINE f32v drop_out(f32v x, u32v words, uint32_t threshold, f32v scale) {
  return from_bits(bits_of(x * scale) & kept(words, threshold));
}

}  // namespace sb
