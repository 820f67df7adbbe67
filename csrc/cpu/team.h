/* team.h: chooses how many of a plan's threads work, by timing them while they work: no result depends on it.
 *
 * More threads are slower where a step takes microseconds, where cores are far apart, and where others use them. So all
 * threads begin and are compared, in turns of a few mini-batches each, with half as many, as long as fewer are as fast;
 * and again, also with more, after a while of work, and soon when work is slower than the comparison had promised. */
#ifndef HDL_TEAM_H
#define HDL_TEAM_H

#include <stdbool.h>
#include <stdint.h>

enum { HDL_ROUNDS = 5 }; /* of a comparison, at most */

typedef struct {
  int64_t kind; /* of work: a number of the caller's */
  int most;     /* threads that there are */
  int threads;  /* that are chosen */
  int rival;    /* as many are compared with them just now, or 0 */
  int turns;    /* of this comparison: even ones are the chosen threads'; -1: the first of all, which does not count */
  bool up, moved;             /* the rival has more threads; the choice has changed since work was last interrupted */
  double each[2][HDL_ROUNDS]; /* seconds a sample: of the chosen threads, of the rival's */
  double expected;            /* seconds a sample of the chosen threads, as promised */
  double worked;              /* as they were where work was slower than that, or 0 */
  double samples, seconds;    /* of this turn, or of work since it was last looked at */
  double since, pause, turn;  /* seconds: of work since the last comparison, until the next; of the last turn */
} hdl_team;

/* Begins anew unless the threads and the kind of work are those of before. */
void hdl_team_begin(hdl_team *team, int most, int64_t kind);
/* Tells how many threads work next, and for about how many samples. */
int hdl_team_next(const hdl_team *team, double *samples);
/* Takes notice of what they did. */
void hdl_team_did(hdl_team *team, int64_t samples, double seconds);
#endif
