/* Inner part of turn.c, for its test. */
#ifndef CLM_ALIGN_TURN_PARTS_H
#define CLM_ALIGN_TURN_PARTS_H

enum { TURN_DEGREE = 6, TURN_HARMONICS = (TURN_DEGREE + 1) * (TURN_DEGREE + 1) };

/** Real spherical harmonics, orthonormal over the sphere, of the direction with third coordinate z and azimuth `turn`
 *  (radians): y[l * l + l + m], sines for m < 0. By the usual recursions. */
void clm_turn_harmonics(double z, double turn, double y[TURN_HARMONICS]);

#endif
