#ifndef SRV_UTF8_H
#define SRV_UTF8_H

/** Make text fit to be shown: every byte that is not part of well-formed UTF-8 and every control
 *  character becomes '?', in place. */
void srv_utf8_clean(char *text);
#endif
