/* Real harmonics of degrees 1 to 4 with sum_m B_lm^2 = 1 on the unit sphere; z polar, l = 1 as (x, y, z), the
 * others in the order m = -l..l (deepmd/dpmodel/descriptor/dpa4c_nn/geometry.py). One body for numbers and
 * vectors of them: HARMONICS_TYPE is the type, HARMONICS_REAL that of its elements, HARMONICS_NAME(name)
 * makes the functions' names. */

/* b: the harmonics, degree after degree. */
static inline void HARMONICS_NAME(harmonics)(int64_t lmax, HARMONICS_TYPE x, HARMONICS_TYPE y,
                                             HARMONICS_TYPE z, HARMONICS_TYPE *b)
{
    const HARMONICS_REAL r3 = (HARMONICS_REAL)1.7320508075688772, r58 = (HARMONICS_REAL)0.79056941504209483;
    const HARMONICS_REAL r15 = (HARMONICS_REAL)3.8729833462074169, r38 = (HARMONICS_REAL)0.61237243569579452;
    const HARMONICS_REAL half = (HARMONICS_REAL)0.5;
    HARMONICS_TYPE xx = x * x, yy = y * y, zz = z * z;
    b[0] = x;
    b[1] = y;
    b[2] = z;
    b[3] = r3 * x * y;
    b[4] = r3 * y * z;
    b[5] = half * (3 * zz - 1);
    b[6] = r3 * x * z;
    b[7] = half * r3 * (xx - yy);
    if (lmax > 2) {
        b[8] = r58 * y * (3 * xx - yy);
        b[9] = r15 * x * y * z;
        b[10] = r38 * y * (5 * zz - 1);
        b[11] = half * z * (5 * zz - 3);
        b[12] = r38 * x * (5 * zz - 1);
        b[13] = half * r15 * z * (xx - yy);
        b[14] = r58 * x * (xx - 3 * yy);
    }
    if (lmax > 3) {
        const HARMONICS_REAL r35 = (HARMONICS_REAL)2.9580398915498081,
                             r70 = (HARMONICS_REAL)2.0916500663351889;
        const HARMONICS_REAL r5 = (HARMONICS_REAL)1.1180339887498949,
                             r10 = (HARMONICS_REAL)0.79056941504209483;
        b[15] = r35 * x * y * (xx - yy);
        b[16] = r70 * y * z * (3 * xx - yy);
        b[17] = r5 * x * y * (7 * zz - 1);
        b[18] = r10 * y * z * (7 * zz - 3);
        b[19] = (HARMONICS_REAL)0.125 * ((35 * zz - 30) * zz + 3);
        b[20] = r10 * x * z * (7 * zz - 3);
        b[21] = half * r5 * (xx - yy) * (7 * zz - 1);
        b[22] = r70 * x * z * (xx - 3 * yy);
        b[23] = (HARMONICS_REAL)0.25 * r35 * (xx * xx - 6 * xx * yy + yy * yy);
    }
}

/* d: the gradient of sum_k w_k b_k, the harmonics taken as the polynomials above. */
static inline void HARMONICS_NAME(harmonics_gradient)(int64_t lmax, HARMONICS_TYPE x, HARMONICS_TYPE y,
                                                      HARMONICS_TYPE z, const HARMONICS_TYPE *w,
                                                      HARMONICS_TYPE *d)
{
    const HARMONICS_REAL r3 = (HARMONICS_REAL)1.7320508075688772, r58 = (HARMONICS_REAL)0.79056941504209483;
    const HARMONICS_REAL r15 = (HARMONICS_REAL)3.8729833462074169, r38 = (HARMONICS_REAL)0.61237243569579452;
    const HARMONICS_REAL half = (HARMONICS_REAL)0.5;
    HARMONICS_TYPE xx = x * x, yy = y * y, zz = z * z;
    d[0] = w[0] + r3 * (y * w[3] + z * w[6] + x * w[7]);
    d[1] = w[1] + r3 * (x * w[3] + z * w[4] - y * w[7]);
    d[2] = w[2] + r3 * (y * w[4] + x * w[6]) + 3 * z * w[5];
    if (lmax > 2) {
        HARMONICS_TYPE five = 5 * zz - 1, across = 3 * (xx - yy), both = 6 * x * y;
        d[0] += r58 * (both * w[8] + across * w[14]) + r15 * z * (y * w[9] + x * w[13]) + r38 * five * w[12];
        d[1] += r58 * (across * w[8] - both * w[14]) + r15 * z * (x * w[9] - y * w[13]) + r38 * five * w[10];
        d[2] += r15 * (x * y * w[9] + half * (xx - yy) * w[13]) + r38 * 10 * z * (y * w[10] + x * w[12]) +
                half * (15 * zz - 3) * w[11];
    }
    if (lmax > 3) {
        const HARMONICS_REAL r35 = (HARMONICS_REAL)2.9580398915498081,
                             r70 = (HARMONICS_REAL)2.0916500663351889;
        const HARMONICS_REAL r5 = (HARMONICS_REAL)1.1180339887498949,
                             r10 = (HARMONICS_REAL)0.79056941504209483;
        HARMONICS_TYPE one = 7 * zz - 1, three = 7 * zz - 3, last = 21 * zz - 3, six = 6 * x * y * z;
        HARMONICS_TYPE zd = 3 * z * (xx - yy);
        d[0] += r35 * (y * (3 * xx - yy) * w[15] + (xx - 3 * yy) * x * w[23]) +
                r70 * (six * w[16] + zd * w[22]) + r5 * one * (y * w[17] + x * w[21]) +
                r10 * z * three * w[20];
        d[1] += r35 * (x * (xx - 3 * yy) * w[15] + (yy - 3 * xx) * y * w[23]) +
                r70 * (zd * w[16] - six * w[22]) + r5 * one * (x * w[17] - y * w[21]) +
                r10 * z * three * w[18];
        d[2] += r70 * (y * (3 * xx - yy) * w[16] + x * (xx - 3 * yy) * w[22]) +
                r5 * 7 * z * (2 * x * y * w[17] + (xx - yy) * w[21]) + r10 * last * (y * w[18] + x * w[20]) +
                half * z * (35 * zz - 15) * w[19];
    }
}
