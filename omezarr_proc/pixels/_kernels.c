/* The inner loops of average.py, mode.py, histogram.py and lzw.py in C; they have them in numpy too, where there is no compiler.

   Box means: the same bits, near the speed of memory. One row of boxes at a time: the d source rows of each plane are added up into wide
   sums, then d sums side by side become one mean, or are added to those of the planes before. Loops are plain, so that the compiler
   vectorizes them; only what it does not vectorize by itself has a path of its own (interleaved RGB). */

#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *block; /* [planes, height, width, samples], pixels and samples contiguous, rows `block_row` bytes apart */
    char *out;         /* [samples, ceil(height / d), ceil(width / d)], pixels contiguous: means, or sums that are added to */
    char *counts;      /* the same of int32, with its own strides: pixels in each sum of floats */
    Py_ssize_t planes, height, width, samples, d, block_plane, block_row, out_row, out_sample, counts_row, counts_sample;
    void *sums;        /* room for a row of the widest sums and counts, of pixels and of boxes; or for the pixels of a box */
} Task;

/* Round half to even. n pixels in the box; where n is 2^m: (s + n/2 - 1 + lowest bit of the quotient) >> m, also for negative sums. */
#define HALF_EVEN(S, s, shift) ((S)((s) + (S)(((S)1 << ((shift)-1)) - 1) + (S)(((s) >> (shift)) & 1)) >> (shift))

#define INTEGERS(NAME, T, S)                                                                                                       \
    static T NAME##_divide(S s, S n) {                                                                                             \
        S quotient = s / n, rest = s % n;                                                                                          \
        if (rest < 0) { rest += n; quotient -= 1; }                                                                                \
        S over = n - rest; /* compared with rest instead of 2 * rest with n, which could overflow */                               \
        return (T)(quotient + (rest > over || (rest == over && (quotient & 1))));                                                  \
    }                                                                                                                              \
    /* The sums of the d rows of every plane that begin at row y; how many rows there are. */                                      \
    static Py_ssize_t NAME##_rows(const Task *t, Py_ssize_t y, S *restrict sums) {                                                 \
        const Py_ssize_t n = t->width * t->samples, rows = t->height - y < t->d ? t->height - y : t->d;                            \
        for (Py_ssize_t p = 0; p < t->planes; p++) {                                                                               \
            const char *source = t->block + p * t->block_plane + y * t->block_row;                                                 \
            Py_ssize_t r = 0;                                                                                                      \
            if (p == 0) {                                                                                                          \
                const T *restrict first = (const T *)source;                                                                       \
                if (rows == 1) {                                                                                                   \
                    for (Py_ssize_t i = 0; i < n; i++) sums[i] = (S)first[i];                                                      \
                    r = 1;                                                                                                         \
                } else {                                                                                                           \
                    const T *restrict second = (const T *)(source + t->block_row);                                                 \
                    for (Py_ssize_t i = 0; i < n; i++) sums[i] = (S)((S)first[i] + (S)second[i]);                                  \
                    r = 2;                                                                                                         \
                }                                                                                                                  \
            }                                                                                                                      \
            for (; r + 1 < rows; r += 2) {                                                                                         \
                const T *restrict next = (const T *)(source + r * t->block_row);                                                   \
                const T *restrict last = (const T *)(source + (r + 1) * t->block_row);                                             \
                for (Py_ssize_t i = 0; i < n; i++) sums[i] = (S)(sums[i] + (S)((S)next[i] + (S)last[i]));                          \
            }                                                                                                                      \
            if (r < rows) {                                                                                                        \
                const T *restrict next = (const T *)(source + r * t->block_row);                                                   \
                for (Py_ssize_t i = 0; i < n; i++) sums[i] = (S)(sums[i] + (S)next[i]);                                            \
            }                                                                                                                      \
        }                                                                                                                          \
        return rows;                                                                                                               \
    }                                                                                                                              \
    static void NAME(const Task *t) {                                                                                              \
        const Py_ssize_t d = t->d, samples = t->samples, whole = t->width / d;                                                     \
        S *restrict sums = t->sums;                                                                                                \
        int shift = 0;                                                                                                             \
        while ((Py_ssize_t)1 << shift < t->planes * d * d) shift++;                                                                \
        const int even = (Py_ssize_t)1 << shift == t->planes * d * d, rgb = d == 2 && samples == 3 && shift == 2;                  \
        for (Py_ssize_t y = 0, row = 0; y < t->height; y += d, row++) {                                                            \
            const Py_ssize_t rows = NAME##_rows(t, y, sums);                                                                       \
            const Py_ssize_t shifted = even && rows == d ? whole : 0; /* boxes whose mean is a shift */                            \
            if (rgb) NAME##_rgb(t, sums, row, shifted);                                                                            \
            for (Py_ssize_t s = 0; s < samples; s++) {                                                                             \
                T *restrict out = (T *)(t->out + s * t->out_sample + row * t->out_row);                                            \
                if (d == 2 && samples == 1) {                                                                                      \
                    if (shift == 2) {                                                                                              \
                        for (Py_ssize_t x = 0; x < shifted; x++) {                                                                 \
                            S sum = (S)(sums[2 * x] + sums[2 * x + 1]);                                                            \
                            out[x] = (T)HALF_EVEN(S, sum, 2);                                                                      \
                        }                                                                                                          \
                    } else {                                                                                                       \
                        for (Py_ssize_t x = 0; x < shifted; x++) {                                                                 \
                            S sum = (S)(sums[2 * x] + sums[2 * x + 1]);                                                            \
                            out[x] = (T)HALF_EVEN(S, sum, shift);                                                                  \
                        }                                                                                                          \
                    }                                                                                                              \
                } else if (!rgb) {                                                                                                 \
                    for (Py_ssize_t x = 0; x < shifted; x++) {                                                                     \
                        const S *restrict from = sums + x * d * samples + s;                                                       \
                        S sum = from[0];                                                                                           \
                        for (Py_ssize_t i = 1; i < d; i++) sum = (S)(sum + from[i * samples]);                                     \
                        out[x] = (T)HALF_EVEN(S, sum, shift);                                                                      \
                    }                                                                                                              \
                }                                                                                                                  \
                for (Py_ssize_t x = shifted; x * d < t->width; x++) {                                                              \
                    const Py_ssize_t columns = t->width - x * d < d ? t->width - x * d : d;                                        \
                    S sum = 0;                                                                                                     \
                    for (Py_ssize_t i = 0; i < columns; i++) sum = (S)(sum + sums[(x * d + i) * samples + s]);                     \
                    out[x] = NAME##_divide(sum, (S)(t->planes * rows * columns));                                                  \
                }                                                                                                                  \
            }                                                                                                                      \
        }                                                                                                                          \
    }                                                                                                                              \
    static void NAME##_add(const Task *t) {                                                                                        \
        const Py_ssize_t d = t->d, samples = t->samples, whole = t->width / d;                                                     \
        S *restrict sums = t->sums;                                                                                                \
        for (Py_ssize_t y = 0, row = 0; y < t->height; y += d, row++) {                                                            \
            NAME##_rows(t, y, sums);                                                                                               \
            for (Py_ssize_t s = 0; s < samples; s++) {                                                                             \
                S *restrict out = (S *)(t->out + s * t->out_sample + row * t->out_row);                                            \
                Py_ssize_t x = 0;                                                                                                  \
                if (d == 2 && samples == 1) {                                                                                      \
                    for (; x < whole; x++) out[x] = (S)(out[x] + (S)(sums[2 * x] + sums[2 * x + 1]));                              \
                }                                                                                                                  \
                for (; x * d < t->width; x++) {                                                                                    \
                    const Py_ssize_t columns = t->width - x * d < d ? t->width - x * d : d;                                        \
                    S sum = 0;                                                                                                     \
                    for (Py_ssize_t i = 0; i < columns; i++) sum = (S)(sum + sums[(x * d + i) * samples + s]);                     \
                    out[x] = (S)(out[x] + sum);                                                                                    \
                }                                                                                                                  \
            }                                                                                                                      \
        }                                                                                                                          \
    }                                                                                                                              \
    static void NAME##_round(const char *from, char *to, Py_ssize_t width, Py_ssize_t n) {                                         \
        const S *restrict sums = (const S *)from;                                                                                  \
        T *restrict out = (T *)to;                                                                                                 \
        int shift = 0;                                                                                                             \
        while ((Py_ssize_t)1 << shift < n) shift++;                                                                                \
        if (shift && (Py_ssize_t)1 << shift == n)                                                                                  \
            for (Py_ssize_t x = 0; x < width; x++) out[x] = (T)HALF_EVEN(S, sums[x], shift);                                       \
        else                                                                                                                       \
            for (Py_ssize_t x = 0; x < width; x++) out[x] = NAME##_divide(sums[x], (S)n);                                          \
    }

/* Means of neighbours at every position, twice as many as wanted but vectorized, in pieces that stay in registers and first cache; then
   every second pixel is dealt out to its plane. */
#define PIECE 192
#define RGB_ROW(NAME, T, S)                                                                                                        \
    static void NAME##_rgb(const Task *t, const S *restrict sums, Py_ssize_t row, Py_ssize_t boxes) {                              \
        T means[PIECE];                                                                                                            \
        T *restrict r = (T *)(t->out + row * t->out_row);                                                                          \
        T *restrict g = (T *)((char *)r + t->out_sample), *restrict b = (T *)((char *)g + t->out_sample);                          \
        for (Py_ssize_t done = 0; done < boxes; done += PIECE / 6) {                                                               \
            const Py_ssize_t count = boxes - done < PIECE / 6 ? boxes - done : PIECE / 6;                                          \
            const S *restrict from = sums + 6 * done;                                                                              \
            for (Py_ssize_t i = 0; i < 6 * count - 3; i++) {                                                                       \
                S sum = (S)(from[i] + from[i + 3]);                                                                                \
                means[i] = (T)HALF_EVEN(S, sum, 2);                                                                                \
            }                                                                                                                      \
            for (Py_ssize_t x = 0; x < count; x++) {                                                                               \
                r[done + x] = means[6 * x];                                                                                        \
                g[done + x] = means[6 * x + 1];                                                                                    \
                b[done + x] = means[6 * x + 2];                                                                                    \
            }                                                                                                                      \
        }                                                                                                                          \
    }

/* Floats: sums and counts in float64, from the top, then from the left, then from the front. Without NaN among the sums there was none
   among the pixels. */
#define FLOATS(NAME, T, U)                                                                                                         \
    /* The sums of a plane's rows that begin at row y and, where some are missing, counts. */                                      \
    static int NAME##_rows(const Task *t, Py_ssize_t p, Py_ssize_t y, Py_ssize_t rows, double *restrict sums, double *restrict counts) {\
        const Py_ssize_t n = t->width * t->samples;                                                                                \
        const char *source = t->block + p * t->block_plane + y * t->block_row;                                                     \
        for (Py_ssize_t i = 0; i < n; i++) sums[i] = ((const T *)source)[i];                                                       \
        for (Py_ssize_t r = 1; r < rows; r++) {                                                                                    \
            const T *restrict next = (const T *)(source + r * t->block_row);                                                       \
            for (Py_ssize_t i = 0; i < n; i++) sums[i] += next[i];                                                                 \
        }                                                                                                                          \
        int missing = 0;                                                                                                           \
        for (Py_ssize_t i = 0; i < n; i++) missing |= sums[i] != sums[i];                                                          \
        if (missing) {                                                                                                             \
            for (Py_ssize_t i = 0; i < n; i++) { sums[i] = -0.0; counts[i] = 0; } /* -0.0 + x is x, whatever its sign */           \
            for (Py_ssize_t r = 0; r < rows; r++) {                                                                                \
                const T *restrict next = (const T *)(source + r * t->block_row);                                                   \
                for (Py_ssize_t i = 0; i < n; i++) {                                                                               \
                    sums[i] += next[i] == next[i] ? next[i] : 0;                                                                   \
                    counts[i] += next[i] == next[i];                                                                               \
                }                                                                                                                  \
            }                                                                                                                      \
        }                                                                                                                          \
        return missing;                                                                                                            \
    }                                                                                                                              \
    /* The sum of box x of a row of boxes, and how many pixels it is of. */                                                        \
    static inline double NAME##_box(const Task *t, const double *restrict sums, const double *restrict counts, int missing, Py_ssize_t rows,\
                                    Py_ssize_t x, Py_ssize_t s, double *count) {                                                   \
        const Py_ssize_t d = t->d, samples = t->samples;                                                                           \
        const Py_ssize_t columns = t->width - x * d < d ? t->width - x * d : d, begin = x * d * samples + s;                       \
        double sum = sums[begin];                                                                                                  \
        for (Py_ssize_t i = 1; i < columns; i++) sum += sums[begin + i * samples];                                                 \
        *count = missing ? counts[begin] : (double)(rows * columns);                                                               \
        if (missing)                                                                                                               \
            for (Py_ssize_t i = 1; i < columns; i++) *count += counts[begin + i * samples];                                        \
        return sum;                                                                                                                \
    }                                                                                                                              \
    static void NAME##_one(const Task *t) {                                                                                        \
        const Py_ssize_t n = t->width * t->samples, d = t->d, samples = t->samples, whole = t->width / d;                          \
        double *restrict sums = t->sums, *restrict counts = sums + n;                                                              \
        for (Py_ssize_t y = 0, row = 0; y < t->height; y += d, row++) {                                                            \
            const Py_ssize_t rows = t->height - y < d ? t->height - y : d;                                                         \
            const int missing = NAME##_rows(t, 0, y, rows, sums, counts);                                                          \
            const double part = 1.0 / (double)(d * d); /* of a power of two: the same bits as by division */                       \
            for (Py_ssize_t s = 0; s < samples; s++) {                                                                             \
                U *restrict out = (U *)(t->out + s * t->out_sample + row * t->out_row);                                            \
                Py_ssize_t x = 0;                                                                                                  \
                if (!missing && rows == d && d == 2) {                                                                             \
                    const double *restrict from = sums + s;                                                                        \
                    for (; x < whole; x++) out[x] = (U)((from[2 * x * samples] + from[(2 * x + 1) * samples]) * part);             \
                } else if (!missing && rows == d) {                                                                                \
                    for (; x < whole; x++) {                                                                                       \
                        const double *restrict from = sums + x * d * samples + s;                                                  \
                        double sum = from[0];                                                                                      \
                        for (Py_ssize_t i = 1; i < d; i++) sum += from[i * samples];                                               \
                        out[x] = (U)(sum * part);                                                                                  \
                    }                                                                                                              \
                }                                                                                                                  \
                for (; x * d < t->width; x++) {                                                                                    \
                    double count, sum = NAME##_box(t, sums, counts, missing, rows, x, s, &count);                                  \
                    out[x] = (U)(sum / count);                                                                                     \
                }                                                                                                                  \
            }                                                                                                                      \
        }                                                                                                                          \
    }                                                                                                                              \
    static void NAME##_several(const Task *t, const int add) {                                                                     \
        const Py_ssize_t n = t->width * t->samples, d = t->d, samples = t->samples, boxes = (t->width + d - 1) / d;                \
        double *restrict sums = t->sums, *restrict counts = sums + n;                                                              \
        for (Py_ssize_t y = 0, row = 0; y < t->height; y += d, row++) {                                                            \
            const Py_ssize_t rows = t->height - y < d ? t->height - y : d;                                                         \
            for (Py_ssize_t p = 0; p < t->planes; p++) {                                                                           \
                const int missing = NAME##_rows(t, p, y, rows, sums, counts);                                                      \
                for (Py_ssize_t s = 0; s < samples; s++) {                                                                         \
                    char *to = t->out + s * t->out_sample + row * t->out_row;                                                      \
                    int32_t *held = (int32_t *)(t->counts + s * t->counts_sample + row * t->counts_row); /* where sums are added */\
                    double *before = counts + n + s * boxes, *numbers = before + n; /* of the planes before */                     \
                    for (Py_ssize_t x = 0; x * d < t->width; x++) {                                                                \
                        double count, sum = NAME##_box(t, sums, counts, missing, rows, x, s, &count);                              \
                        if (add) {                                                                                                 \
                            ((double *)to)[x] += sum;                                                                              \
                            held[x] += (int32_t)count;                                                                             \
                            continue;                                                                                              \
                        }                                                                                                          \
                        if (p) {                                                                                                   \
                            sum = before[x] + sum;                                                                                 \
                            count += numbers[x];                                                                                   \
                        }                                                                                                          \
                        if (p + 1 < t->planes) {                                                                                   \
                            before[x] = sum;                                                                                       \
                            numbers[x] = count;                                                                                    \
                        } else {                                                                                                   \
                            ((U *)to)[x] = (U)(sum / count);                                                                       \
                        }                                                                                                          \
                    }                                                                                                              \
                }                                                                                                                  \
            }                                                                                                                      \
        }                                                                                                                          \
    }                                                                                                                              \
    static void NAME(const Task *t) {                                                                                              \
        if (t->planes == 1) NAME##_one(t);                                                                                         \
        else NAME##_several(t, 0);                                                                                                 \
    }                                                                                                                              \
    static inline void NAME##_add(const Task *t) { NAME##_several(t, 1); }

/* Pixels as they are, from interleaved to planar; those of NaN too, which a mean of one pixel would make anew. */
#define COPY(NAME, T, U)                                                                                                           \
    static void NAME(const Task *t) {                                                                                              \
        const Py_ssize_t width = t->width, samples = t->samples;                                                                   \
        for (Py_ssize_t y = 0; y < t->height; y++) {                                                                               \
            const T *restrict from = (const T *)(t->block + y * t->block_row);                                                     \
            U *restrict out = (U *)(t->out + y * t->out_row);                                                                      \
            if (samples == 1 && sizeof(T) == sizeof(U)) {                                                                          \
                memcpy(out, from, width * sizeof(T));                                                                              \
            } else if (samples == 3) {                                                                                             \
                U *restrict second = (U *)((char *)out + t->out_sample), *restrict third = (U *)((char *)second + t->out_sample);  \
                for (Py_ssize_t x = 0; x < width; x++) {                                                                           \
                    out[x] = (U)from[3 * x];                                                                                       \
                    second[x] = (U)from[3 * x + 1];                                                                                \
                    third[x] = (U)from[3 * x + 2];                                                                                 \
                }                                                                                                                  \
            } else {                                                                                                               \
                for (Py_ssize_t s = 0; s < samples; s++, out = (U *)((char *)out + t->out_sample))                                 \
                    for (Py_ssize_t x = 0; x < width; x++) out[x] = (U)from[samples * x + s];                                      \
            }                                                                                                                      \
        }                                                                                                                          \
    }

/* Modes. */
static Py_ssize_t in_box(const Task *t) { return t->planes * (t->d < t->height ? t->d : t->height) * (t->d < t->width ? t->d : t->width); }

#define SMALLER(x, y) ((x) < (y) ? (x) : (y))
#define LARGER(x, y) ((x) < (y) ? (y) : (x))
#define MODE(NAME, T, U, NONE)                                                                                                     \
    static int NAME##_order(const void *a, const void *b) {                                                                        \
        const T x = *(const T *)a, y = *(const T *)b;                                                                              \
        return (x > y) - (x < y);                                                                                                  \
    }                                                                                                                              \
    /* The most frequent of n values, the smallest of several: of sorted ones the first of the longest run. */                     \
    static T NAME##_most(T *values, Py_ssize_t n) {                                                                                \
        Py_ssize_t i = 1, longest = 0;                                                                                             \
        while (i < n && values[i] == values[0]) i++;                                                                               \
        if (i >= n) return n ? values[0] : (T)NONE; /* most boxes of labels */                                                     \
        if (n > 32) qsort(values, (size_t)n, sizeof(T), NAME##_order);                                                             \
        else                                                                                                                       \
            for (i = 1; i < n; i++) {                                                                                              \
                const T value = values[i];                                                                                         \
                Py_ssize_t to = i;                                                                                                 \
                for (; to > 0 && value < values[to - 1]; to--) values[to] = values[to - 1];                                        \
                values[to] = value;                                                                                                \
            }                                                                                                                      \
        T most = values[0];                                                                                                        \
        for (i = 0; i < n;) {                                                                                                      \
            const Py_ssize_t begin = i;                                                                                            \
            while (i < n && values[i] == values[begin]) i++;                                                                       \
            if (i - begin > longest) {                                                                                             \
                longest = i - begin;                                                                                               \
                most = values[begin];                                                                                              \
            }                                                                                                                      \
        }                                                                                                                          \
        return most;                                                                                                               \
    }                                                                                                                              \
    /* Of four numbers, without a branch. */                                                                                       \
    static inline T NAME##_of_four(T a, T b, T c, T d) {                                                                           \
        const T low = SMALLER(a, b), high = LARGER(a, b), least = SMALLER(c, d), most = LARGER(c, d);                              \
        const T first = SMALLER(low, least), last = LARGER(high, most), one = LARGER(low, least), other = SMALLER(high, most);     \
        const T second = SMALLER(one, other), third = LARGER(one, other);                                                          \
        return first == second ? first : second == third ? second : third == last ? third : first;                                 \
    }                                                                                                                              \
    static void NAME##_mode(const Task *t) {                                                                                       \
        const Py_ssize_t d = t->d, samples = t->samples;                                                                           \
        T *restrict values = t->sums;                                                                                              \
        for (Py_ssize_t y = 0, row = 0; y < t->height; y += d, row++) {                                                            \
            const Py_ssize_t rows = SMALLER(t->height - y, d);                                                                     \
            for (Py_ssize_t s = 0; s < samples; s++) {                                                                             \
                U *restrict out = (U *)(t->out + s * t->out_sample + row * t->out_row);                                            \
                Py_ssize_t x = 0;                                                                                                  \
                if (d == 2 && rows == 2 && t->planes == 1 && (T)0.5 == 0) { /* of floats some may be missing */                    \
                    const T *restrict top = (const T *)(t->block + y * t->block_row) + s;                                          \
                    const T *restrict bottom = (const T *)((const char *)top + t->block_row);                                      \
                    for (; 2 * x + 1 < t->width; x++, top += 2 * samples, bottom += 2 * samples)                                   \
                        out[x] = (U)NAME##_of_four(top[0], top[samples], bottom[0], bottom[samples]);                              \
                }                                                                                                                  \
                for (; x * d < t->width; x++) {                                                                                    \
                    const Py_ssize_t columns = SMALLER(t->width - x * d, d);                                                       \
                    Py_ssize_t n = 0;                                                                                              \
                    for (Py_ssize_t p = 0; p < t->planes; p++)                                                                     \
                        for (Py_ssize_t r = 0; r < rows; r++) {                                                                    \
                            const T *from = (const T *)(t->block + p * t->block_plane + (y + r) * t->block_row) + x * d * samples + s;\
                            for (Py_ssize_t i = 0; i < columns; i++, from += samples)                                              \
                                if (*from == *from) values[n++] = (T)(*from + (T)0); /* no NaN; -0.0 + 0.0 is 0.0 */               \
                        }                                                                                                          \
                    out[x] = (U)NAME##_most(values, n);                                                                            \
                }                                                                                                                  \
            }                                                                                                                      \
        }                                                                                                                          \
    }
MODE(u8, uint8_t, uint8_t, 0)
MODE(i8, int8_t, int8_t, 0)
MODE(u16, uint16_t, uint16_t, 0)
MODE(i16, int16_t, int16_t, 0)
MODE(u32, uint32_t, uint32_t, 0)
MODE(i32, int32_t, int32_t, 0)
MODE(f32, float, float, NAN)
MODE(f64, double, double, NAN)
MODE(f64_f32, double, float, NAN)

#define SIZED(NAME, T, S) RGB_ROW(NAME, T, S) INTEGERS(NAME, T, S)

/* Sums are as narrow as they can be: 8-bit pixels of boxes of up to 2^8 in 16 bits, 2^24 in 32, 16-bit pixels up to 2^16 in 32, else in 64. */
SIZED(u8_16, uint8_t, uint16_t)
SIZED(u8_32, uint8_t, uint32_t)
SIZED(u8_64, uint8_t, uint64_t)
SIZED(i8_16, int8_t, int16_t)
SIZED(i8_32, int8_t, int32_t)
SIZED(i8_64, int8_t, int64_t)
SIZED(u16_32, uint16_t, uint32_t)
SIZED(u16_64, uint16_t, uint64_t)
SIZED(i16_32, int16_t, int32_t)
SIZED(i16_64, int16_t, int64_t)
SIZED(u32_64, uint32_t, uint64_t)
SIZED(i32_64, int32_t, int64_t)
FLOATS(f32, float, float)
FLOATS(f64, double, double)
FLOATS(f64_f32, double, float)
COPY(copy8, uint8_t, uint8_t)
COPY(copy16, uint16_t, uint16_t)
COPY(copy32, uint32_t, uint32_t)
COPY(copy64, uint64_t, uint64_t)
COPY(narrow64, double, float)

typedef void (*Kernel)(const Task *);

static Kernel choose(char from, char to, Py_ssize_t box) {
    if (from == 'd' && to == 'f') return box == 1 ? narrow64 : f64_f32;
    if (from != to) return NULL;
    switch (from) {
    case 'B': return box == 1 ? copy8 : box <= 1 << 8 ? u8_16 : box <= 1 << 24 ? u8_32 : u8_64;
    case 'b': return box == 1 ? copy8 : box <= 1 << 8 ? i8_16 : box <= 1 << 24 ? i8_32 : i8_64;
    case 'H': return box == 1 ? copy16 : box <= 1 << 16 ? u16_32 : u16_64;
    case 'h': return box == 1 ? copy16 : box <= 1 << 16 ? i16_32 : i16_64;
    case 'I': return box == 1 ? copy32 : u32_64;
    case 'i': return box == 1 ? copy32 : i32_64;
    case 'f': return box == 1 ? copy32 : f32;
    case 'd': return box == 1 ? copy64 : f64;
    default: return NULL;
    }
}

static Kernel choose_mode(char from, char to) {
    if (from == 'd' && to == 'f') return f64_f32_mode;
    if (from != to) return NULL;
    switch (from) {
    case 'B': return u8_mode;
    case 'b': return i8_mode;
    case 'H': return u16_mode;
    case 'h': return i16_mode;
    case 'I': return u32_mode;
    case 'i': return i32_mode;
    case 'f': return f32_mode;
    case 'd': return f64_mode;
    default: return NULL;
    }
}

/* Pixels, their sums, and what becomes one of the other. */
typedef struct {
    char pixels, sums;
    Kernel add;
    void (*round)(const char *, char *, Py_ssize_t, Py_ssize_t);
} Sum;

static const Sum *sum_of(char pixels, char sums) {
    static const Sum table[] = {
        {'B', 'H', u8_16_add, u8_16_round},   {'B', 'I', u8_32_add, u8_32_round},   {'B', 'L', u8_64_add, u8_64_round},
        {'b', 'h', i8_16_add, i8_16_round},   {'b', 'i', i8_32_add, i8_32_round},   {'b', 'l', i8_64_add, i8_64_round},
        {'H', 'I', u16_32_add, u16_32_round}, {'H', 'L', u16_64_add, u16_64_round}, {'h', 'i', i16_32_add, i16_32_round},
        {'h', 'l', i16_64_add, i16_64_round}, {'I', 'L', u32_64_add, u32_64_round}, {'i', 'l', i32_64_add, i32_64_round},
        {'f', 'd', f32_add, NULL},            {'d', 'd', f64_add, NULL},
    };
    if (sums == 'Q') sums = 'L'; /* 64 bits have either name */
    if (sums == 'q') sums = 'l';
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].pixels == pixels && table[i].sums == sums) return table + i;
    return NULL;
}

/* numpy names the byte order of some arrays though it is the native one; the types that have kernels are as large either way. */
static char format_of(const Py_buffer *view) {
    const char *format = view->format ? view->format : "";
    if (*format == (PY_LITTLE_ENDIAN ? '<' : '>')) format++;
    return format[0] && !format[1] ? format[0] : 0;
}

/* Whether the elements of a view lie where they may be read as such, and those of the last `inner` axes side by side. */
static int usable(const Py_buffer *view, int inner) {
    Py_ssize_t beside = view->itemsize;
    if ((uintptr_t)view->buf % view->itemsize) return 0;
    for (int axis = view->ndim - 1; axis >= 0; axis--) {
        if (axis >= view->ndim - inner ? view->strides[axis] != beside && view->shape[axis] > 1 : view->strides[axis] % view->itemsize) return 0;
        beside *= view->shape[axis];
    }
    return 1;
}

/* The task of a block [planes, h, w, samples], and of what is made of it; 0: it has no kernel. */
static int task_of(const Py_buffer *block, Py_ssize_t d, const Py_buffer *out, Task *t) {
    if (block->ndim != 4 || out->ndim != 3 || d < 1 || d > 4096 || d & (d - 1)) return 0;
    const Py_ssize_t *shape = block->shape;
    *t = (Task){.block = block->buf, .out = out->buf, .planes = shape[0], .height = shape[1], .width = shape[2], .samples = shape[3], .d = d,
                .block_plane = block->strides[0], .block_row = block->strides[1], .out_row = out->strides[1], .out_sample = out->strides[0]};
    if (t->planes < 1 || t->planes > 4096) return 0;
    if (out->shape[0] != t->samples || out->shape[1] != (t->height + d - 1) / d || out->shape[2] != (t->width + d - 1) / d) return 0;
    return usable(block, 2) && usable(out, 1);
}

/* A row of sums and counts, of pixels and of boxes. */
static Py_ssize_t row_of(const Task *t) { return t->width * t->samples * 4; }

/* `room`: numbers of 8 bytes that the kernel has for itself. */
static int run(Task *t, Kernel kernel, Py_ssize_t room) {
    if (t->height == 0 || t->width == 0 || t->samples == 0) return 1;
    t->sums = malloc((size_t)room * sizeof(double));
    if (!t->sums) return -1;
    Py_BEGIN_ALLOW_THREADS
    kernel(t);
    free(t->sums);
    Py_END_ALLOW_THREADS
    return 1;
}

static PyObject *answer(int done) { return done < 0 ? PyErr_NoMemory() : PyBool_FromLong(done); }

static PyObject *boxes(PyObject *arguments, int mode) {
    PyObject *source, *target;
    Py_ssize_t d;
    if (!PyArg_ParseTuple(arguments, "OnO", &source, &d, &target)) return NULL;
    Py_buffer block, out;
    if (PyObject_GetBuffer(source, &block, PyBUF_STRIDED_RO | PyBUF_FORMAT)) return NULL;
    if (PyObject_GetBuffer(target, &out, PyBUF_STRIDED | PyBUF_FORMAT)) {
        PyBuffer_Release(&block);
        return NULL;
    }
    Task t;
    Kernel kernel = NULL;
    const char from = format_of(&block), to = format_of(&out);
    if (task_of(&block, d, &out, &t)) kernel = mode ? choose_mode(from, to) : choose(from, to, t.planes * d * d);
    int done = kernel ? run(&t, kernel, mode ? in_box(&t) : row_of(&t)) : 0;
    PyBuffer_Release(&out);
    PyBuffer_Release(&block);
    return answer(done);
}

static PyObject *box_mean(PyObject *module, PyObject *arguments) { return boxes(arguments, 0); }

static PyObject *box_mode(PyObject *module, PyObject *arguments) { return boxes(arguments, 1); }

static PyObject *add_sums(PyObject *module, PyObject *arguments) {
    PyObject *source, *target, *numbers;
    Py_ssize_t d;
    if (!PyArg_ParseTuple(arguments, "OnOO", &source, &d, &target, &numbers)) return NULL;
    Py_buffer block, out, counts = {0};
    if (PyObject_GetBuffer(source, &block, PyBUF_STRIDED_RO | PyBUF_FORMAT)) return NULL;
    if (PyObject_GetBuffer(target, &out, PyBUF_STRIDED | PyBUF_FORMAT)) {
        PyBuffer_Release(&block);
        return NULL;
    }
    if (numbers != Py_None && PyObject_GetBuffer(numbers, &counts, PyBUF_STRIDED | PyBUF_FORMAT)) {
        PyBuffer_Release(&out);
        PyBuffer_Release(&block);
        return NULL;
    }
    Task t;
    int done = 0;
    const Sum *sum = task_of(&block, d, &out, &t) ? sum_of(format_of(&block), format_of(&out)) : NULL;
    if (sum && !sum->round) {
        if (counts.obj && format_of(&counts) == 'i' && counts.ndim == 3 && usable(&counts, 1) &&
            !memcmp(counts.shape, out.shape, 3 * sizeof(Py_ssize_t))) {
            t.counts = counts.buf;
            t.counts_sample = counts.strides[0];
            t.counts_row = counts.strides[1];
        } else {
            sum = NULL;
        }
    }
    if (sum) done = run(&t, sum->add, row_of(&t));
    if (counts.obj) PyBuffer_Release(&counts);
    PyBuffer_Release(&out);
    PyBuffer_Release(&block);
    return answer(done);
}

static PyObject *mean_of(PyObject *module, PyObject *arguments) {
    PyObject *source, *target;
    Py_ssize_t n;
    if (!PyArg_ParseTuple(arguments, "OnO", &source, &n, &target)) return NULL;
    Py_buffer sums, out;
    if (PyObject_GetBuffer(source, &sums, PyBUF_STRIDED_RO | PyBUF_FORMAT)) return NULL;
    if (PyObject_GetBuffer(target, &out, PyBUF_STRIDED | PyBUF_FORMAT)) {
        PyBuffer_Release(&sums);
        return NULL;
    }
    const Sum *sum = sum_of(format_of(&out), format_of(&sums));
    int done = sum && sum->round && n > 0 && sums.ndim == 3 && out.ndim == 3 && usable(&sums, 1) && usable(&out, 1) &&
               !memcmp(sums.shape, out.shape, 3 * sizeof(Py_ssize_t));
    if (done) {
        Py_BEGIN_ALLOW_THREADS
        for (Py_ssize_t s = 0; s < out.shape[0]; s++)
            for (Py_ssize_t y = 0; y < out.shape[1]; y++)
                sum->round((char *)sums.buf + s * sums.strides[0] + y * sums.strides[1],
                           (char *)out.buf + s * out.strides[0] + y * out.strides[1], out.shape[2], n);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&out);
    PyBuffer_Release(&sums);
    return answer(done);
}

#define COUNT(NAME, T, FIRST)                                                                                                      \
    static void NAME(const T *values, Py_ssize_t size, int64_t *counts) {                                                          \
        for (Py_ssize_t i = 0; i < size; i++) counts[(T)(values[i] ^ (T)FIRST)]++;                                                 \
    }
COUNT(count_u8, uint8_t, 0)
COUNT(count_i8, uint8_t, 0x80)
COUNT(count_u16, uint16_t, 0)
COUNT(count_i16, uint16_t, 0x8000)

static int add_counts(const Py_buffer *pixels, const Py_buffer *counts) {
    const char format = format_of(pixels);
    if (!format || !strchr("BbHh", format) || counts->len != 65536 * sizeof(int64_t) || counts->itemsize != sizeof(int64_t)) return 0;
    if ((uintptr_t)pixels->buf % pixels->itemsize) return 0;
    const Py_ssize_t size = pixels->len / pixels->itemsize;
    Py_BEGIN_ALLOW_THREADS
    switch (format) {
    case 'B': count_u8(pixels->buf, size, counts->buf); break;
    case 'b': count_i8(pixels->buf, size, counts->buf); break;
    case 'H': count_u16(pixels->buf, size, counts->buf); break;
    case 'h': count_i16(pixels->buf, size, counts->buf); break;
    }
    Py_END_ALLOW_THREADS
    return 1;
}

static PyObject *count(PyObject *module, PyObject *arguments) {
    PyObject *source, *target;
    if (!PyArg_ParseTuple(arguments, "OO", &source, &target)) return NULL;
    Py_buffer pixels, counts;
    if (PyObject_GetBuffer(source, &pixels, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)) return NULL;
    if (PyObject_GetBuffer(target, &counts, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)) {
        PyBuffer_Release(&pixels);
        return NULL;
    }
    int done = add_counts(&pixels, &counts);
    PyBuffer_Release(&counts);
    PyBuffer_Release(&pixels);
    return PyBool_FromLong(done);
}

/* The first code of an LZW stream (TIFF 6.0, section 13) that is not in the table when it comes, and its bit; 0: there is none. */
static int first_wrong(const uint8_t *data, uint64_t size, int32_t *wrong, uint64_t *at) {
    const uint64_t bits = 8 * size;
    const uint8_t *next = data;
    uint64_t bit = 0, window = 0;
    int held = 0;
    for (int32_t n = 0;; n++) { /* codes since the table was cleared: 3840 fill it, and as many are put up with until it is cleared */
        const int width = n < 254 ? 9 : n < 766 ? 10 : n < 1790 ? 11 : 12;
        if (bit + width > bits) return 0;
        *at = bit;
        if (n == 2 * 3840) {
            *wrong = -1;
            return 1;
        }
        for (; held < width; held += 8) window = window << 8 | *next++;
        held -= width;
        bit += width;
        const int32_t code = (int32_t)(window >> held) & ((1 << width) - 1);
        if (code == 257) return 0;
        if (code == 256) {
            n = -1;
        } else if (n < 3840 && code > (n == 0 ? 255 : 257 + n)) {
            *wrong = code;
            return 1;
        }
    }
}

/* Decode an LZW stream into out, at most `room` bytes; the bytes made. Codes are held against the table as `first_wrong` does it.

   What a code stands for is the string before it and one byte more, and these lie behind each other in the output: so the table has places
   in the output instead of strings. Codes of one width have a loop of their own, and a single byte is a string as any other: nothing in
   the loop hangs on what the pixels are but the length of what is copied, which a processor can guess. */
static Py_ssize_t decode_lzw(const uint8_t *data, uint64_t size, uint8_t *out, Py_ssize_t room, int32_t *wrong, uint64_t *at) {
    static const int32_t last[] = {254, 766, 1790, 3840, 2 * 3840}; /* codes since the table was cleared, at which the next loop begins */
    const uint8_t *from[4096];
    uint16_t lengths[4096];
    uint8_t alone[256 + 8]; /* the strings of one byte */
    for (int i = 0; i < 256 + 8; i++) alone[i] = (uint8_t)i;
    for (int i = 0; i < 256; i++) {
        from[i] = alone + i;
        lengths[i] = 1;
    }
    const uint64_t bits = 8 * size;
    uint8_t *to = out, *const end = out + room;
    const uint8_t *before = out; /* the string before, whose last byte is not known yet when it gets a code */
    uint32_t length = 0;
    uint64_t bit = 0;
    int32_t n = 0;
    for (int loop = 0; loop < 5; loop = n ? loop + 1 : 0) {
        const int width = loop < 3 ? 9 + loop : 12;
        for (; n < last[loop]; n++) {
            if (bit + width > bits || to == end) return to - out;
            const uint64_t octet = bit >> 3;
            uint32_t window = 0; /* the 4 bytes from the code's first bit on, as far as there are any */
            if (octet + 4 <= size) {
                window = (uint32_t)data[octet] << 24 | (uint32_t)data[octet + 1] << 16 | (uint32_t)data[octet + 2] << 8 | data[octet + 3];
            } else {
                for (uint64_t i = octet; i < size; i++) window |= (uint32_t)data[i] << (24 - 8 * (i - octet));
            }
            const int32_t code = (int32_t)(window << (bit & 7) >> (32 - width));
            if (code >> 1 == 256 >> 1) {
                if (code == 257) return to - out;
                bit += width;
                n = 0;
                break;
            }
            if (code > (n == 0 ? 255 : n < 3840 ? 257 + n : 4095)) {
                *wrong = code;
                *at = bit;
                return to - out;
            }
            bit += width;
            if (n < 3839) { /* the first one goes to 257, which no string has */
                from[257 + n] = before;
                lengths[257 + n] = (uint16_t)(length + 1);
            }
            before = to;
            length = lengths[code];
            const uint8_t *string = from[code];
            if (end - to >= (Py_ssize_t)length + 8) {
                uint64_t eight; /* read before it is written: where they overlap, only what is not of the string is lost */
                memcpy(&eight, string, 8);
                memcpy(to, &eight, 8);
                for (uint32_t i = 8; i < length; i += 8) {
                    memcpy(&eight, string + i, 8);
                    memcpy(to + i, &eight, 8);
                }
                if (code == 257 + n) to[length - 1] = to[0];
                to += length;
            } else {
                const Py_ssize_t count = length < end - to ? (Py_ssize_t)length : end - to;
                for (Py_ssize_t i = 0; i < count; i++) to[i] = string[i];
                to += count;
            }
        }
    }
    *wrong = -1;
    *at = bit;
    return to - out;
}

static PyObject *lzw_decode(PyObject *module, PyObject *args) {
    Py_buffer data, out;
    if (!PyArg_ParseTuple(args, "y*w*", &data, &out)) return NULL;
    int32_t code = 0;
    uint64_t bit = 0;
    Py_ssize_t made;
    Py_BEGIN_ALLOW_THREADS
    made = decode_lzw(data.buf, (uint64_t)data.len, out.buf, out.len, &code, &bit);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&data);
    PyBuffer_Release(&out);
    if (code) return Py_BuildValue("n(iK)", made, (int)code, (unsigned long long)bit);
    return Py_BuildValue("nO", made, Py_None);
}

static PyObject *lzw_wrong_code(PyObject *module, PyObject *data) {
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)) return NULL;
    int32_t code = 0;
    uint64_t bit = 0;
    int found;
    Py_BEGIN_ALLOW_THREADS
    found = first_wrong(view.buf, (uint64_t)view.len, &code, &bit);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&view);
    if (!found) Py_RETURN_NONE;
    return Py_BuildValue("iK", (int)code, (unsigned long long)bit);
}

static PyMethodDef methods[] = {
    {"count", count, METH_VARARGS,
     "count(pixels, counts): add the histogram of contiguous pixels of up to 16 bits, signed ones from the least, to counts[65536]; False,\n"
     "and nothing done, for pixels of other types."},
    {"lzw_decode", lzw_decode, METH_VARARGS,
     "lzw_decode(data, out): fill out as far as data reach; the bytes made, and (code, bit) of the first code that is not in the table, or None."},
    {"lzw_wrong_code", lzw_wrong_code, METH_O, "lzw_wrong_code(data): (code, bit) of the first code that is not in the table, or None."},
    {"box_mean", box_mean, METH_VARARGS,
     "box_mean(block, d, out): average block[planes, h, w, samples] into out[samples, ceil(h/d), ceil(w/d)]; False, and nothing done, where\n"
     "their types or strides have no kernel."},
    {"box_mode", box_mode, METH_VARARGS, "box_mode(block, d, out): as box_mean, the most frequent values; the smallest of several."},
    {"add_sums", add_sums, METH_VARARGS,
     "add_sums(block, d, sums, counts): add the d x d boxes of block[1, h, w, samples] to sums[samples, ceil(h/d), ceil(w/d)], for floats also\n"
     "how many pixels there are to the int32 of counts; False, and nothing done, where there is no kernel."},
    {"mean_of", mean_of, METH_VARARGS,
     "mean_of(sums, n, out): sums[samples, h, w] of n integers each, rounded, into out; False, and nothing done, where there is no kernel."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{0, NULL}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_kernels", "The kernels of average.py, mode.py, histogram.py and lzw.py in C.", 0, methods, slots, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__kernels(void) { return PyModuleDef_Init(&definition); }
