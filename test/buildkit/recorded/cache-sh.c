// sh -c "write PATH TEXT" | "cp A B" | "fail" | anything else: succeeds, does nothing
static long sc(long n,long a,long b,long c){long r;asm volatile("syscall":"=a"(r):"a"(n),"D"(a),"S"(b),"d"(c):"rcx","r11","memory");return r;}
static int pre(const char*s,const char*p){while(*p)if(*s++!=*p++)return 0;return 1;}
__attribute__((noreturn)) static void ex(int c){sc(60,c,0,0);for(;;);}
__attribute__((used)) void go(long*sp){long n=sp[0];char**v=(char**)(sp+1);
 if(n<3)ex(0);char*t=v[2];
 if(pre(t,"fail"))ex(7);
 int w=pre(t,"write "),c=pre(t,"cp ");if(!w&&!c)ex(0);
 char*a=t+(w?6:3);char*b=a;while(*b&&*b!=' ')b++;if(*b)*b++=0;
 if(w){long f=sc(2,(long)a,01|0100|01000,0644);if(f<0)ex(3);char*e=b;while(*e)e++;sc(1,f,(long)b,e-b);ex(0);}
 char buf[4096];long i=sc(2,(long)a,0,0);if(i<0)ex(4);long k=sc(0,i,(long)buf,4096);long o=sc(2,(long)b,01|0100|01000,0644);if(o<0)ex(5);sc(1,o,(long)buf,k);ex(0);}
asm(".globl _start\n_start: mov %rsp,%rdi\n and $-16,%rsp\n call go\n");
