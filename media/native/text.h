/* What this was built from, byte for byte, for media/native/loader.py to hold against the files beside it: an extension of
 * another day reads other places of a line, and loses packets without a word.
 *
 * Each file says TEXT_OF(its name with _ for the dot) once; a header where TEXTS is defined, as only _fanout.c does.
 */
#ifndef TEXT_H
#define TEXT_H

#define TEXT_OF(name) \
    __asm__(".pushsection .rodata\n" \
            ".globl text_" #name ", text_" #name "_end\n" \
            ".hidden text_" #name ", text_" #name "_end\n" \
            "text_" #name ": .incbin \"" __FILE__ "\"\n" \
            "text_" #name "_end: .byte 0\n" \
            ".popsection\n");

#endif

#ifdef TEXTS
TEXT_OF(text_h)
#endif
