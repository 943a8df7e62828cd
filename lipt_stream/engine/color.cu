// Fused conversions between planes of YUV 4:2:0 and RGB. One thread per chroma sample: it owns the 2x2 pixels under it.
//
// Every constant comes from engine/color_math.py, which also says what the numbers mean; engine/color_cuda.py describes
// the three structs to NumPy field by field. No header is included: NVRTC then needs no CUDA toolkit beside the driver's
// own compiler, and the tests compile this same file with a host compiler (LIPT_HOST), which brings its own Half.

#ifndef LIPT_HOST
struct Half { unsigned short bits; };

__device__ inline float to_float(Half h) { float f; asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(h.bits)); return f; }
__device__ inline void store(Half* at, float f) { asm("cvt.rn.f16.f32 %0, %1;" : "=h"(at->bits) : "f"(f)); }
#endif
__device__ inline float to_float(float f) { return f; }
__device__ inline void store(float* at, float f) { *at = f; }

struct Layout {  // distances in elements
    long long y_row, u_row, v_row;
    long long rgb_channel, rgb_row, rgb_column;
    int width, height;
};

struct ToRgb {
    float luma_scale, luma_offset, chroma_zero;
    float v_to_r, u_to_g, v_to_g, u_to_b;
    float side_x, side_y;
};

struct ToPlanes {
    float y[4], u[4], v[4];
    float previous_x, previous_y;
    int max_code;
};

__device__ inline int clamp_index(int i, int count) { return i < 0 ? 0 : (i < count ? i : count - 1); }

__device__ inline float lerp(float a, float b, float weight_of_b) { return a + weight_of_b * (b - a); }

// The chroma of pixels (2i..2i+1, 2j..2j+1), by linear interpolation between sample (i, j) and its neighbours.
template <typename Sample>
__device__ inline void interpolate(const Sample* plane, long long row, int i, int j, int w, int h, const ToRgb& k,
                                   float out[2][2]) {
    const int left = clamp_index(i - 1, w), right = clamp_index(i + 1, w);
    float columns[3][2];
    for (int t = 0; t < 3; ++t) {
        const Sample* line = plane + clamp_index(j + t - 1, h) * row;
        const float own = line[i];
        columns[t][0] = lerp(own, line[left], k.side_x) - k.chroma_zero;
        columns[t][1] = lerp(own, line[right], 0.5f - k.side_x) - k.chroma_zero;
    }
    for (int x = 0; x < 2; ++x) {
        out[0][x] = lerp(columns[1][x], columns[0][x], k.side_y);
        out[1][x] = lerp(columns[1][x], columns[2][x], 0.5f - k.side_y);
    }
}

template <typename Sample, typename Real>
__device__ inline void planes_to_rgb(const Sample* y, const Sample* u, const Sample* v, Real* rgb, const ToRgb& k,
                                     const Layout& at) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x, j = blockIdx.y * blockDim.y + threadIdx.y;
    const int w = (at.width + 1) / 2, h = (at.height + 1) / 2;
    if (i >= w || j >= h) return;
    float us[2][2], vs[2][2];
    interpolate(u, at.u_row, i, j, w, h, k, us);
    interpolate(v, at.v_row, i, j, w, h, k, vs);
    for (int dy = 0; dy < 2 && 2 * j + dy < at.height; ++dy)
        for (int dx = 0; dx < 2 && 2 * i + dx < at.width; ++dx) {
            const long long py = 2 * j + dy, px = 2 * i + dx;
            const float luma = y[py * at.y_row + px] * k.luma_scale + k.luma_offset;
            Real* pixel = rgb + py * at.rgb_row + px * at.rgb_column;
            store(pixel, luma + k.v_to_r * vs[dy][dx]);
            store(pixel + at.rgb_channel, luma + k.u_to_g * us[dy][dx] + k.v_to_g * vs[dy][dx]);
            store(pixel + 2 * at.rgb_channel, luma + k.u_to_b * us[dy][dx]);
        }
}

// r R + g G + b B + offset, whose offset holds the half of rounding, clamped and cut to a code.
template <typename Sample>
__device__ inline Sample quantise(const float c[4], const float rgb[3], int max_code) {
    const float value = c[0] * rgb[0] + c[1] * rgb[1] + c[2] * rgb[2] + c[3];
    return (Sample)(value > 0.0f ? (value < max_code ? value : (float)max_code) : 0.0f);
}

template <typename Sample, typename Real>
__device__ inline void rgb_to_planes(const Real* rgb, Sample* y, Sample* u, Sample* v, const ToPlanes& k,
                                     const Layout& at) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x, j = blockIdx.y * blockDim.y + threadIdx.y;
    if (i >= (at.width + 1) / 2 || j >= (at.height + 1) / 2) return;
    const float weights_x[3] = {k.previous_x, 0.5f, 0.5f - k.previous_x};
    const float weights_y[3] = {k.previous_y, 0.5f, 0.5f - k.previous_y};
    float mean[3] = {0.0f, 0.0f, 0.0f};
    for (int ty = 0; ty < 3; ++ty) {
        if (weights_y[ty] == 0.0f) continue;  // the same for every thread: no row above is read where chroma is centred
        const int py = 2 * j + ty - 1;
        const long long row = clamp_index(py, at.height) * at.rgb_row;
        for (int tx = 0; tx < 3; ++tx) {
            if (weights_x[tx] == 0.0f) continue;
            const int px = 2 * i + tx - 1;
            const Real* pixel = rgb + row + clamp_index(px, at.width) * at.rgb_column;
            float values[3];
            for (int c = 0; c < 3; ++c) {
                values[c] = to_float(pixel[c * at.rgb_channel]);
                mean[c] += weights_y[ty] * weights_x[tx] * values[c];
            }
            if (ty > 0 && tx > 0 && py < at.height && px < at.width)
                y[py * at.y_row + px] = quantise<Sample>(k.y, values, k.max_code);
        }
    }
    u[j * at.u_row + i] = quantise<Sample>(k.u, mean, k.max_code);
    v[j * at.v_row + i] = quantise<Sample>(k.v, mean, k.max_code);
}

#define LIPT_KERNELS(suffix, Sample, Real)                                                                            \
    extern "C" __global__ void planes_to_rgb_##suffix(const Sample* y, const Sample* u, const Sample* v, Real* rgb,   \
                                                      ToRgb k, Layout at) {                                           \
        planes_to_rgb(y, u, v, rgb, k, at);                                                                           \
    }                                                                                                                 \
    extern "C" __global__ void rgb_to_planes_##suffix(const Real* rgb, Sample* y, Sample* u, Sample* v, ToPlanes k,   \
                                                      Layout at) {                                                    \
        rgb_to_planes(rgb, y, u, v, k, at);                                                                           \
    }

LIPT_KERNELS(8_float32, unsigned char, float)
LIPT_KERNELS(8_float16, unsigned char, Half)
LIPT_KERNELS(16_float32, unsigned short, float)
LIPT_KERNELS(16_float16, unsigned short, Half)
