// Runs the kernels of color.cu on the host: every thread of every block, one after another.
// It brings what the compiler of a GPU knows by itself (blockIdx, ...) and a Half of two bytes.
#include <cmath>
#include <cstdint>
#include <cstring>

#define LIPT_HOST
#define __global__
#define __device__

struct Index { int x, y, z; };
static thread_local Index blockIdx, blockDim, threadIdx;

struct Half { uint16_t bits; };

inline float to_float(Half h) {
    const int exponent = (h.bits >> 10) & 31, fraction = h.bits & 1023;
    const float size = exponent == 0    ? std::ldexp((float)fraction, -24)
                       : exponent == 31 ? (fraction ? NAN : INFINITY)
                                        : std::ldexp((float)(fraction + 1024), exponent - 25);
    return h.bits & 0x8000 ? -size : size;
}

inline void store(Half* at, float f) {  // rounds to nearest even, as cvt.rn does
    const uint16_t sign = std::signbit(f) ? 0x8000 : 0;
    const float size = std::fabs(f);
    if (std::isnan(f)) { at->bits = 0x7fff; return; }
    int exponent;
    std::frexp(size, &exponent);                     // size = m * 2^exponent, 0.5 <= m < 1
    const int unit = exponent > -14 ? exponent - 11 : -24;  // the weight of the last bit of the fraction
    const long steps = std::lrint(std::ldexp((double)size, -unit));
    const long bits = exponent > -14 ? ((long)(exponent + 14) << 10) + steps - 1024 : steps;
    at->bits = sign | (uint16_t)(size == 0.0f ? 0 : bits >= 0x7c00 ? 0x7c00 : bits);
}

#include "color.cu"

template <typename Kernel>
static void each_thread(const int* grid, const int* block, Kernel kernel) {
    blockDim = {block[0], block[1], block[2]};
    for (blockIdx.y = 0; blockIdx.y < grid[1]; ++blockIdx.y)
        for (blockIdx.x = 0; blockIdx.x < grid[0]; ++blockIdx.x)
            for (threadIdx.y = 0; threadIdx.y < block[1]; ++threadIdx.y)
                for (threadIdx.x = 0; threadIdx.x < block[0]; ++threadIdx.x) kernel();
}

#define HOST(suffix, Sample, Real)                                                                                  \
    extern "C" void host_planes_to_rgb_##suffix(const int* grid, const int* block, const Sample* y, const Sample* u, \
                                                const Sample* v, Real* rgb, const ToRgb* k, const Layout* at) {      \
        each_thread(grid, block, [=] { planes_to_rgb_##suffix(y, u, v, rgb, *k, *at); });                            \
    }                                                                                                                \
    extern "C" void host_rgb_to_planes_##suffix(const int* grid, const int* block, const Real* rgb, Sample* y,       \
                                                Sample* u, Sample* v, const ToPlanes* k, const Layout* at) {         \
        each_thread(grid, block, [=] { rgb_to_planes_##suffix(rgb, y, u, v, *k, *at); });                            \
    }

HOST(8_float32, unsigned char, float)
HOST(8_float16, unsigned char, Half)
HOST(16_float32, unsigned short, float)
HOST(16_float16, unsigned short, Half)

extern "C" void struct_sizes(int* out) {
    out[0] = sizeof(Layout);
    out[1] = sizeof(ToRgb);
    out[2] = sizeof(ToPlanes);
}

extern "C" void half_round_trip(const float* in, uint16_t* bits, float* out, int count) {
    for (int i = 0; i < count; ++i) {
        Half h;
        store(&h, in[i]);
        bits[i] = h.bits;
        out[i] = to_float(h);
    }
}
